"""How far the bfloat16 head is from float64 over factors that were rounded first; also a program of its own.

As a program it prints {what: largest error} as JSON, so that it can be run with XLA flags that the tests do not have.
"""

import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from catalogue_cases import PLANS, case, choices, exact_entropy, exact_gradients, exact_log_probs
from head_gradients import WAYS, value_and_gradients

from ialp_jax.policies.catalogue import HeadPlan, catalogue_distribution

SHAPES = {"plain": (5, 90, 2, 0), "allowed list": (7, 70, 3, 30)}  # rows, items, excluded, allowed
WIDTH = 40
COMBINATIONS = [*((way, True) for way in WAYS), ("distribution", False)]  # (way, jitted) of the program


def rounded_factors(inputs):
    """The case with factors that bfloat16 holds, rounded by NumPy."""
    nearest = lambda array: array.astype(jnp.bfloat16).astype(np.float32)  # noqa: E731
    return inputs._replace(query=nearest(inputs.query), items=nearest(inputs.items))


def narrow_plan(name):
    """Tiles of which every case has several."""
    return HeadPlan(name, rows=3, items=24, group=8, matmul="bfloat16")


@partial(jax.jit, static_argnums=0)
def all_log_probs(plan, inputs, ids):
    """Log-probabilities of all items, gathered one by one: XLA fuses the gather, and dropped a cast there."""
    return catalogue_distribution(plan, *inputs).log_prob(ids)


def gathered_error(name):
    """Largest error of the log-probabilities of all permitted items."""
    inputs = case(5, 90, width=WIDTH, scale=0.5)
    ids = jnp.broadcast_to(jnp.arange(90)[:, None], (90, 5))
    ours = np.asarray(all_log_probs(narrow_plan(name), jax.tree.map(jnp.asarray, inputs), ids)).T
    truth = exact_log_probs(rounded_factors(inputs))
    return _error(ours[np.isfinite(truth)], truth[np.isfinite(truth)])


def errors(name, way, jitted, shapes=tuple(SHAPES)):
    """Largest error of log-probability, entropy and gradients over the shapes, relative to 1 or to the value if larger."""
    plan = narrow_plan(name)
    function = value_and_gradients if jitted else value_and_gradients.__wrapped__
    worst = {"log_prob": 0.0, "entropy": 0.0, "gradient": 0.0}
    for rows, items, excluded, allowed in (SHAPES[shape] for shape in shapes):
        inputs = case(rows, items, excluded, allowed, scale=0.5, width=WIDTH)
        actions = choices(rows, items)[:, 0]
        upstream = np.random.default_rng(9).normal(size=(2, rows)).astype(np.float32)
        values, gradients = function(
            way, plan, jax.tree.map(jnp.asarray, inputs), jnp.asarray(actions), *upstream
        )
        exact = rounded_factors(inputs)
        log_probs = exact_log_probs(exact)
        truths = {
            "log_prob": [(values[0], log_probs[np.arange(rows), actions])],
            "entropy": [(values[1], exact_entropy(log_probs))],
            "gradient": list(zip(gradients, exact_gradients(exact, actions, *upstream), strict=True)),
        }
        for what, pairs in truths.items():
            worst[what] = max(worst[what], *(_error(ours, truth) for ours, truth in pairs))
    return worst


def _error(ours, truth):
    return float(np.max(np.abs(np.asarray(ours, np.float64) - truth) / np.maximum(np.abs(truth), 1.0)))


if __name__ == "__main__":
    json.dump(
        {f"{name}: all items": gathered_error(name) for name in PLANS}
        | {
            f"{name}, {way}, {'jit' if jitted else 'eager'}: {what}": error
            for name in PLANS
            for way, jitted in COMBINATIONS
            for what, error in errors(name, way, jitted, ("allowed list",)).items()
        },
        sys.stdout,
    )
