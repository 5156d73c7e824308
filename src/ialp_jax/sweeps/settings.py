"""Settings: dotted names of a study's fields and their values; which may be swept, and the command that repeats one.

Host only: a configuration is handed in, and taken apart by its dataclasses.
"""

import difflib
import math
import shlex
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from ialp_jax.artifacts import InputError
from ialp_jax.sweeps.search import axis_points
from ialp_jax.sweeps.space import Axis, Space, Value

if TYPE_CHECKING:  # it imports JAX
    from ialp_jax.study.config import StudyConfig

ADAPTED = ("a_ialp_ft", "a_ialp_ap_mixture", "a_ialp_ap_value")
PRETRAINED = ("ialp", *ADAPTED)
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
    "adapt_hyper.anneal": (("mixture_weight", lambda held: held == "annealed", "annealed"),),
    "adapt_hyper.weight_rate": (("mixture_weight", lambda held: held == "learnt", "learnt"),),
    "pretrain_hyper.supervised_share": (("pretrain_hyper.supervised", lambda held: held > 0, "above 0"),),
    "preferences.fraction": (("preferences.reward", lambda held: held == "selected", "selected"),
                             ("preferences.threshold", lambda held: held is None, "none")),
    "preferences.threshold": (("preferences.reward", lambda held: held == "selected", "selected"),),
}  # fmt: skip
_ABOVE_0 = math.ulp(0.0)
_BELOW_1 = math.nextafter(1.0, 0.0)
# Least and most of numbers that no configuration checks itself, by the last part of the name.
_LIMITS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("users", "rollout", "updates", "pool", "block_rows", "bins", "embedding", "hidden", "sessions",
                     "chunk", "neighbours"), (1, math.inf)),
    **dict.fromkeys(("learning_rate", "ratio_clip", "gradient_norm"), (_ABOVE_0, math.inf)),
    **dict.fromkeys(("entropy", "value_weight", "action_value_weight", "supervised", "anneal", "weight_rate", "kappa"),
                    (0, math.inf)),
    **dict.fromkeys(("discount", "trace", "supervised_share"), (0, 1)),
    **dict.fromkeys(("fraction", "fixed_share"), (_ABOVE_0, 1)),
    "weight": (_ABOVE_0, _BELOW_1),
}  # fmt: skip


def fields_of(config: Any) -> list[str]:
    """Dotted names of all fields, in the order of their definition."""
    return list(_walk(config, ""))


def _walk(owner: Any, prefix: str) -> Iterator[str]:
    for field in fields(owner):
        held = getattr(owner, field.name)
        name = f"{prefix}{field.name}"
        yield from _walk(held, f"{name}.") if is_dataclass(held) else (name,)


def kind_of(config: Any, name: str, file: Path | None = None) -> Any:
    """Type of a field, for example `int`, `float | None` or `Literal["gru", "sasrec"]`.

    Raises:
        InputError: if there is no such field; names those that are spelt alike.
    """
    known = fields_of(config)
    if name not in known:
        ends = [field for field in known if field.split(".")[-1] == name.split(".")[-1]]
        alike = list(dict.fromkeys([*difflib.get_close_matches(name, known, 3), *ends]))[:4]
        inside = [field for field in known if field.startswith(f"{name}.")][:4]
        raise InputError("there is no such field", file=file, column=name,
                         fix=f"use {', '.join(inside or alike)}" if inside or alike else "see `ialp train --help`",
                         )  # fmt: skip
    *path, last = name.split(".")
    owner = config
    for part in path:
        owner = getattr(owner, part)
    return get_type_hints(type(owner))[last]


def apply(config: "StudyConfig", changes: Mapping[str, Value], file: Path | None = None) -> "StudyConfig":
    """The study with other values in some fields. Whole numbers do for real ones, lists for tuples, "none" for None.

    Args:
        config: the study.
        changes: new values by dotted name.
        file: where the changes were read, for errors.

    Raises:
        InputError: if a field does not exist, or its value has the wrong type or is out of range.
    """
    return _rebuild(config, {tuple(name.split(".")): _checked(config, name, value, file)
                             for name, value in changes.items()})  # fmt: skip


def _rebuild(owner: Any, changes: dict[tuple[str, ...], Value]) -> Any:
    """All changes of a dataclass at once, as its fields may only be right together."""
    new: dict[str, Any] = {path[0]: value for path, value in changes.items() if len(path) == 1}
    for part in dict.fromkeys(path[0] for path in changes if len(path) > 1):
        inner = {path[1:]: value for path, value in changes.items() if path[0] == part}
        new[part] = _rebuild(getattr(owner, part), inner)
    return replace(owner, **new)


def _checked(config: Any, name: str, value: Value, file: Path | None) -> Value:
    kind = kind_of(config, name, file)
    try:
        value = _converted(kind, value)
    except ValueError as expected:
        raise InputError(
            f"{value!r} is not {expected}", file=file, column=name, fix=f"give {expected}"
        ) from None
    least, most = _LIMITS.get(name.split(".")[-1], (-math.inf, math.inf))
    if isinstance(value, (int, float)) and not least <= value <= most:
        wanted = [f"{'above 0' if least == _ABOVE_0 else f'{least:g} or more'}"] if least > -math.inf else []
        wanted += [f"{'below 1' if most == _BELOW_1 else f'at most {most:g}'}"] if most < math.inf else []
        raise InputError(
            f"{value:g} is out of range", file=file, column=name, fix=f"use a value {' and '.join(wanted)}"
        )
    return value


def _converted(kind: Any, value: Any) -> Value:
    """The value as the type wants it; `ValueError` says what is expected."""
    origin, choices = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None or value == "none":
            return None
        (inner,) = [choice for choice in choices if choice is not type(None)]
        return _converted(inner, value)
    if origin is Literal:
        if value in choices:
            return value
        raise ValueError(f"one of {', '.join(map(str, choices))}")
    if origin is tuple:
        if isinstance(value, (tuple, list)):
            return tuple(_converted(choices[0], item) for item in value)
        raise ValueError("a list")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is kind and not (kind is float and not math.isfinite(value)):
        return value
    raise ValueError(
        {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}[kind]
    )


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
    fixed = {name: _checked(config, name, value, file) for name, value in space.fixed.items()}
    checked = replace(
        space, fixed=fixed, axes=tuple(_checked_axis(space, base, axis, file) for axis in space.axes)
    )
    for axis in checked.axes:
        _refuse_unmet(checked, base, axis.name, file)
    _refuse_too_many(checked, file)
    return checked


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
        values = tuple(_checked(base, axis.name, value, file) for value in axis.values)
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
        held = base
        for part in other.split("."):
            held = getattr(held, part)
        if not any(suits(value) for value in ((held,) if axis is None else axis.values or axis.bounds())):
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


def label(setting: Mapping[str, Value]) -> str:
    """A setting in words, such as "learning_rate 0.003, entropy 0.01": names as short as tells them apart."""
    return ", ".join(f"{name} {_shown(setting[full])}" for full, name in short_names(list(setting)).items())


def short_names(names: list[str]) -> dict[str, str]:
    """The shortest ends of dotted names that are different, by full name."""
    short = {}
    for name in names:
        parts = name.split(".")
        ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        others = [other for other in names if other != name]
        short[name] = next(
            (end for end in ends if not any(f".{other}".endswith(f".{end}") for other in others)), name
        )
    return short


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return f"({' '.join(map(_shown, value))})"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def command(
    env: str,
    preset: str,
    data: Path | None,
    prefs: Path | None,
    method: str | None,
    seeds: int,
    changes: Mapping[str, Value],
) -> str:
    """The shell command that trains exactly this setting; numbers are written so that they are read back exactly.

    Args:
        env: name or file of the environment.
        preset: size of the study.
        data: folder of logs, if any.
        prefs: folder of a finished table, if any.
        method: the only one to run; None for all of them.
        seeds: paired seeds.
        changes: values by dotted name: the space's fixed ones and the setting's.
    """
    words = ["ialp", "train", env, "--preset", preset]
    for name, path in (("--data", data), ("--prefs", prefs)):
        words += [] if path is None else [name, str(path)]
    words += ["--seeds", str(seeds), *([] if method is None else ["--methods", method])]
    for name, value in changes.items():
        words += _flag(name, value)
    return shlex.join(words)


# A flag with a value, where tyro turns other booleans into a pair of flags.
_WITH_VALUE = ("preferences.gate.enforce",)


def _flag(name: str, value: Value) -> list[str]:
    """One field as tyro reads it."""
    *path, last = name.replace("_", "-").split(".")
    if isinstance(value, bool) and name not in _WITH_VALUE:
        return ["--" + ".".join([*path, last if value else f"no-{last}"])]
    flag = "--" + ".".join([*path, last])
    if isinstance(value, tuple):
        return [flag, *map(_word, value)]
    return [flag, _word(value)]


def _word(value: Value) -> str:
    return repr(value) if isinstance(value, float) else str(value)
