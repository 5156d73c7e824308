"""Which fields may be swept, by whom they are used, and whether a space suits the study it changes."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ialp_jax.artifacts import InputError, Value
from ialp_jax.marks import Only, UsersWorld, Yardstick
from ialp_jax.methods.base import Budget
from ialp_jax.methods.registry import get
from ialp_jax.study.fields import apply, beside, converted, held, kind_of, marks_of
from ialp_jax.study.stages import check_chunks, settings_of, stages_of
from ialp_jax.sweeps.search import axis_points
from ialp_jax.sweeps.space import Axis, Space

if TYPE_CHECKING:  # it imports JAX
    from ialp_jax.study.config import StudyConfig

_OWN = {"seeds": "the key `seeds`", "methods": "the key `method`"}  # of the space
_COMPARED_BY_BEST = ("halving", "adaptive")


def affects(method: str, config: "StudyConfig", name: str) -> bool:
    """Whether a field can change what a method achieves, or how that is measured.

    Args:
        method: by name or file.
        config: a study that runs it.
        name: dotted name of the field.
    """
    entry, group = get(method), name.split(".")[0]
    stages = stages_of(entry, config)
    budgets = {stage.budget for stage in stages}
    if name.startswith("methods."):
        # A study has the options of its method and of those that it builds on, and no others.
        return not any(name.startswith(f"methods.{part}.") for part in entry.options.unread)
    if name == "loop.checkpoint_seconds":
        return False  # it is when run states are saved
    if name == "evaluation.fixed_share":
        return Budget.MEASURE in budgets
    if group == "pretrain":
        return Budget.PRETRAIN in budgets
    if group in ("online", "evaluation", "loop"):
        return True
    return any(group in settings_of(stage, config) for stage in stages)


def check_space(space: Space, config: "StudyConfig", file: Path | None = None) -> Space:
    """Checks a sweep against the study it changes, before anything is computed.

    Returns:
        The space with its values converted to the fields' types, and `integer` set on axes of whole numbers.

    Raises:
        InputError: if a field does not exist, may not be swept or cannot affect the method, a value is wrong, or
            the axes hold fewer different settings than are asked for.
    """
    config = replace(config, methods=(space.method,))
    for name in (*space.fixed, *(axis.name for axis in space.axes)):
        _refuse_unknown(config, name, file)
    base = apply(config, space.fixed, file)
    for name in (*space.fixed, *(axis.name for axis in space.axes)):
        _refuse_idle(space, base, name, file)
    check_chunks(base)
    fixed = {name: converted(config, name, value, file) for name, value in space.fixed.items()}
    suited = replace(
        space, fixed=fixed, axes=tuple(_checked_axis(space, base, axis, file) for axis in space.axes)
    )
    for axis in suited.axes:
        _refuse_unmet(suited, base, axis.name, file)
    _refuse_too_many(suited, file)
    return suited


def _refuse_unknown(config: "StudyConfig", name: str, file: Path | None) -> None:
    kind_of(config, name, file)
    if name in _OWN:
        raise InputError(
            f"it is {_OWN[name]} of the sweep", file=file, column=name, fix="write it at the top of the file"
        )


def _refuse_idle(space: Space, base: "StudyConfig", name: str, file: Path | None) -> None:
    """A field that changes nothing, whichever of the listed values the other axes hold."""
    others = (axis for axis in space.axes if axis.name != name)
    held = ({axis.name: value} for axis in others for value in axis.values)
    studies = (base, *(apply(base, changes, file) for changes in held))
    if not any(affects(space.method, config, name) for config in studies):
        raise InputError(
            f"it has no effect on {get(space.method).name}", file=file, column=name, fix="leave it out"
        )


def _checked_axis(space: Space, base: "StudyConfig", axis: Axis, file: Path | None) -> Axis:
    _refuse_yardstick(space, base, axis, file)
    kind = kind_of(base, axis.name, file)
    if axis.values:
        values = tuple(converted(base, axis.name, value, file) for value in axis.values)
        _try_values(base, axis.name, values, file)
        return replace(axis, values=values)
    numbers = [choice for choice in (get_args(kind) or (kind,)) if choice in (int, float)]
    if not numbers:
        raise InputError(
            "a range only suits numbers", file=file, column=axis.name, fix="give a list of values"
        )
    if axis.name.endswith(".updates"):
        raise InputError("updates must be whole chunks, which a range does not keep to", file=file, column=axis.name,
                         fix="give a list of multiples of loop.chunk")  # fmt: skip
    ends = axis.bounds()
    integer = int in numbers
    if integer and any(end != int(end) for end in ends):
        raise InputError(
            "the field holds whole numbers", file=file, column=axis.name, fix="give whole low and high"
        )
    _try_values(base, axis.name, tuple(int(end) if integer else end for end in ends), file)
    axis = replace(axis, integer=integer)
    if axis.points and len(axis_points(axis)) < axis.points:
        raise InputError(f"only {len(axis_points(axis))} of {axis.points} points are different whole numbers", file=file,
                         column=axis.name, fix="ask for fewer points, or list the values")  # fmt: skip
    return axis


def _try_values(base: "StudyConfig", name: str, values: tuple[Value, ...], file: Path | None) -> None:
    for value in values:
        check_chunks(apply(base, {name: value}, file))


def _refuse_yardstick(space: Space, base: "StudyConfig", axis: Axis, file: Path | None) -> None:
    marks = marks_of(base, axis.name)
    selects = space.search.kind in _COMPARED_BY_BEST
    reason = next((mark.reason for mark in marks if isinstance(mark, Yardstick)), None)
    frozen = stages_of(get(space.method), base)[-1].budget is Budget.MEASURE
    if reason is None and frozen and axis.name.startswith("online."):
        reason = "the method is frozen online, so it is how long and on whom it is measured"
    if reason is not None:
        raise InputError(
            f"{reason}, which is nothing to search", file=file, column=axis.name, fix="move it to [fixed]"
        )
    if selects and any(isinstance(mark, UsersWorld) for mark in marks):
        raise InputError(f"it changes the users' world, and a search by {space.search.kind} would choose the easiest one",
                         file=file, column=axis.name, fix="move it to [fixed], or use a grid, random or sobol search",
                         )  # fmt: skip
    if space.search.kind == "halving" and axis.name.endswith(".updates"):
        raise InputError("a halving decides itself for how many updates a setting runs", file=file, column=axis.name,
                         fix="move it to [fixed], or use another kind of search")  # fmt: skip


def _refuse_unmet(space: Space, base: "StudyConfig", name: str, file: Path | None) -> None:
    """A field that only matters where another field holds something that it never holds."""
    for mark in (mark for mark in marks_of(base, name) if isinstance(mark, Only)):
        other = beside(base, name, mark.field)
        axis = next((axis for axis in space.axes if axis.name == other), None)
        values = (held(base, other),) if axis is None else axis.values or axis.bounds()
        if not any(mark.met(value) for value in values):
            raise InputError(f"it has no effect unless {other} is {mark}", file=file, column=name,
                             fix=f"set {other} in [fixed], or leave this axis out")  # fmt: skip


def _refuse_too_many(space: Space, file: Path | None) -> None:
    """Draws that only lists and whole numbers decide cannot be more than there are combinations."""
    asked, combinations = space.search.settings, 1.0
    for axis in space.axes:
        low, high = (0.0, len(axis.values) - 1.0) if axis.values else axis.bounds()
        combinations *= high - low + 1 if axis.values or axis.integer else math.inf
    if asked is not None and asked > combinations:
        raise InputError(f"the axes only have {combinations:,.0f} different settings", file=file, column="search.settings",
                         fix=f"ask for {combinations:.0f} or fewer, or use a grid")  # fmt: skip
