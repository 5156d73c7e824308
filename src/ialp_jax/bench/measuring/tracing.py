"""Counts the matrix products of a program as it is written: loops by their length, nothing optimised away.

XLA's own `cost_analysis` counts the body of a loop once, which says little about a program that is one long loop.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def traced_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """FLOPs of all matrix products of `function`, a multiply-add being two. Arguments may be shapes only.

    A branch that is chosen at run time counts as the longest one, and the body of a `while` loop without a known
    length counts once.
    """
    return _flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def _flops(program: core.Jaxpr) -> float:
    return sum(_equation_flops(equation) for equation in program.eqns)


def _equation_flops(equation: Any) -> float:
    if equation.primitive.name == "dot_general":
        return _product_flops(equation)
    inner = [_flops(program) for program in _inner_programs(equation.params)]
    if equation.primitive.name == "cond":
        return max(inner, default=0.0)
    return sum(inner) * _repetitions(equation)


def _product_flops(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, result = equation.invars[0].aval, equation.outvars[0].aval
    return 2.0 * math.prod(result.shape) * math.prod(left.shape[axis] for axis in contracted)


def _repetitions(equation: Any) -> float:
    return float(equation.params["length"]) if equation.primitive.name == "scan" else 1.0


def _inner_programs(parameters: dict[str, Any]) -> list[core.Jaxpr]:
    found = []
    for name, value in parameters.items():
        if name in ("fwd_jaxpr_thunk", "jvp_jaxpr_fun", "bwd"):  # rules of differentiation, not run here
            continue
        for entry in value if isinstance(value, (tuple, list)) else [value]:
            program = getattr(entry, "jaxpr", entry)
            if isinstance(program, core.Jaxpr):
                found.append(program)
    return found
