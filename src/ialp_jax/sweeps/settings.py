"""Which fields may be swept, by whom they are used, and whether a space suits the study it changes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ialp_jax.artifacts import InputError, Value
from ialp_jax.study.fields import apply, checked, held, kind_of
from ialp_jax.study.names import PRETRAINED
from ialp_jax.sweeps.search import axis_points
from ialp_jax.sweeps.space import Axis, Space

if TYPE_CHECKING:  # it imports JAX
    from ialp_jax.study.config import StudyConfig

ADAPTED = ("a_ialp_ft", "a_ialp_ap_mixture", "a_ialp_ap_value")
# Who uses a field: by its name, else by the longest of the names it begins with; everyone where there is none.
_USERS: dict[str, tuple[str, ...]] = {
    "pretrain": PRETRAINED,
    "pretrain_hyper": PRETRAINED,
    "preferences": PRETRAINED,
    "preferences.neighbours": (),  # only table_greedy's
    "scratch_hyper": ("a2c",),
    "adapt_hyper": ADAPTED,
    "adapt_hyper.weight": ("a_ialp_ap_mixture",),
    "adapt_hyper.anneal": ("a_ialp_ap_mixture",),
    "adapt_hyper.weight_rate": ("a_ialp_ap_mixture",),
    "adapt_hyper.kappa": ("a_ialp_ap_value",),
    "mixture_weight": ("a_ialp_ap_mixture",),
    "mixture_start": ("a_ialp_ap_mixture",),
    "value_start": ("a_ialp_ap_value",),
    "evaluation.fixed_share": ("ialp",),
    "loop.checkpoint_seconds": (),
}
_OWN = {"seeds": "the key `seeds`", "methods": "the key `method`"}  # of the space
# May be fixed but not searched: the best value would be that of the kindest yardstick.
_YARDSTICK = {
    "loop.chunk": "it only cuts a run into pieces",
    "pretrain.block_rows": "it changes speed, not results",
    "online.block_rows": "it changes speed, not results",
    "pretrain.bins": "it is how finely the curve is drawn",
    "online.bins": "it is how finely the curve is drawn",
    "evaluation": "it is how precisely policies are measured",
    "preferences.gate": "it is whether a table is refused",
}
_WORLD = (
    "data",
    "simulator",
    "fit",
)  # a grid may compare worlds; a search for the best must not choose the easiest
# What another field must hold for a field to matter.
_NEEDS: dict[str, tuple[tuple[str, Callable[[Any], bool], str], ...]] = {
    "adapt_hyper.anneal": (("mixture_weight", lambda value: value == "annealed", "annealed"),),
    "adapt_hyper.weight_rate": (("mixture_weight", lambda value: value == "learnt", "learnt"),),
    "pretrain_hyper.supervised_share": (("pretrain_hyper.supervised", lambda value: value > 0, "above 0"),),
    "preferences.fraction": (("preferences.reward", lambda value: value == "selected", "selected"),
                             ("preferences.threshold", lambda value: value is None, "none")),
    "preferences.threshold": (("preferences.reward", lambda value: value == "selected", "selected"),),
}  # fmt: skip


def affects(method: str, name: str) -> bool:
    """Whether a field can change what a method achieves, or how that is measured."""
    return method in _under(_USERS, name, (method,))


def _under(table: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The entry of a name, else of the longest dotted beginning of it that has one."""
    parts = name.split(".")
    beginnings = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((table[part] for part in beginnings if part in table), default)


def check_space(space: Space, config: "StudyConfig", file: Path | None = None) -> Space:
    """Checks a sweep against the study it changes, before anything is computed.

    Returns:
        The space with its values converted to the fields' types, and `integer` set on axes of whole numbers.

    Raises:
        InputError: if a field does not exist, may not be swept or cannot affect the method, a value is wrong, or
            the axes hold fewer different settings than are asked for.
    """
    for name in (*space.fixed, *(axis.name for axis in space.axes)):
        _refuse_idle(space, config, name, file)
    base = apply(config, space.fixed, file)
    base.check_chunks()
    fixed = {name: checked(config, name, value, file) for name, value in space.fixed.items()}
    suited = replace(
        space, fixed=fixed, axes=tuple(_checked_axis(space, base, axis, file) for axis in space.axes)
    )
    for axis in suited.axes:
        _refuse_unmet(suited, base, axis.name, file)
    _refuse_too_many(suited, file)
    return suited


def _refuse_idle(space: Space, config: "StudyConfig", name: str, file: Path | None) -> None:
    kind_of(config, name, file)
    if name in _OWN:
        raise InputError(
            f"it is {_OWN[name]} of the sweep", file=file, column=name, fix="write it at the top of the file"
        )
    if not affects(space.method, name):
        raise InputError(f"it has no effect on {space.method}", file=file, column=name, fix="leave it out")


def _checked_axis(space: Space, base: "StudyConfig", axis: Axis, file: Path | None) -> Axis:
    _refuse_yardstick(space, axis, file)
    kind = kind_of(base, axis.name, file)
    if axis.values:
        values = tuple(checked(base, axis.name, value, file) for value in axis.values)
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
        apply(base, {name: value}, file).check_chunks()


def _refuse_yardstick(space: Space, axis: Axis, file: Path | None) -> None:
    reason, selects = _under(_YARDSTICK, axis.name), space.search.kind in ("halving", "adaptive")
    if reason is None and space.method == "ialp" and axis.name.startswith("online."):
        reason = "iALP is frozen online, so it is how long and on whom it is measured"
    if reason is not None:
        raise InputError(
            f"{reason}, which is nothing to search", file=file, column=axis.name, fix="move it to [fixed]"
        )
    if selects and axis.name.split(".")[0] in _WORLD:
        raise InputError(f"it changes the users' world, and a search by {space.search.kind} would choose the easiest one",
                         file=file, column=axis.name, fix="move it to [fixed], or use a grid, random or sobol search",
                         )  # fmt: skip
    if space.search.kind == "halving" and axis.name.endswith(".updates"):
        raise InputError("a halving decides itself for how many updates a setting runs", file=file, column=axis.name,
                         fix="move it to [fixed], or use another kind of search")  # fmt: skip


def _refuse_unmet(space: Space, base: "StudyConfig", name: str, file: Path | None) -> None:
    """A field that only matters where another field holds something that it never holds."""
    for other, suits, wanted in _NEEDS.get(name, ()):
        axis = next((axis for axis in space.axes if axis.name == other), None)
        if not any(
            suits(value) for value in ((held(base, other),) if axis is None else axis.values or axis.bounds())
        ):
            raise InputError(f"it has no effect unless {other} is {wanted}", file=file, column=name,
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
