"""A study by the dotted names of its fields: their types, and other values put into them. Host only.

A configuration is handed in, and taken apart by its dataclasses.
"""

import difflib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from ialp_jax.artifacts import InputError
from ialp_jax.sweeps.space import Value

if TYPE_CHECKING:  # it imports JAX
    from ialp_jax.study.config import StudyConfig

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
    return _rebuild(config, {tuple(name.split(".")): checked(config, name, value, file)
                             for name, value in changes.items()})  # fmt: skip


def _rebuild(owner: Any, changes: dict[tuple[str, ...], Value]) -> Any:
    """All changes of a dataclass at once, as its fields may only be right together."""
    new: dict[str, Any] = {path[0]: value for path, value in changes.items() if len(path) == 1}
    for part in dict.fromkeys(path[0] for path in changes if len(path) > 1):
        inner = {path[1:]: value for path, value in changes.items() if path[0] == part}
        new[part] = _rebuild(getattr(owner, part), inner)
    return replace(owner, **new)


def checked(config: Any, name: str, value: Value, file: Path | None) -> Value:
    """The value as its field wants it, of its type and in its range; `InputError` otherwise."""
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


def held(config: Any, name: str) -> Any:
    """What a field holds."""
    for part in name.split("."):
        config = getattr(config, part)
    return config


def hashable(value: Any) -> Any:
    """What was read from JSON with tuples for its lists, as fields hold them; inside of dictionaries too."""
    if isinstance(value, dict):
        return {name: hashable(inner) for name, inner in value.items()}
    return tuple(map(hashable, value)) if isinstance(value, list) else value
