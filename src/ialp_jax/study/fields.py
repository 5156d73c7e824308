"""A study by the dotted names of its fields: their types, and other values put into them."""

import difflib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from ialp_jax.artifacts import InputError, Value

if TYPE_CHECKING:  # it imports JAX
    from ialp_jax.study.config import StudyConfig


def fields_of(config: Any) -> list[str]:
    """Dotted names of all fields, in the order of their definition."""
    return list(_walk(config, ""))


def decisive_fields(config: Any) -> list[str]:
    """Dotted names of the fields that decide a compiled program: all that are not data of it.

    Data of a program is what JAX takes for a leaf: the fields of a dataclass that is registered as a pytree (`Hyper`),
    unless they are declared static.
    """
    return [name for name in fields_of(config) if not _is_leaf(config, name)]


def _is_leaf(config: Any, name: str) -> bool:
    import jax  # only who asks for programs has a device

    *path, last = name.split(".")
    owner = held(config, ".".join(path)) if path else config
    if jax.tree_util.all_leaves([owner]):  # no pytree: a frozen dataclass, static as a whole
        return False
    marker = object()
    return any(leaf is marker for leaf in jax.tree.leaves(replace(owner, **{last: marker})))


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
    values = {tuple(name.split(".")): checked(config, name, value, file) for name, value in changes.items()}
    try:
        return _rebuild(config, values)
    except InputError as error:
        raise error.in_file(file) from None


def _rebuild(owner: Any, changes: dict[tuple[str, ...], Value]) -> Any:
    """All changes of a dataclass at once, as its fields may only be right together."""
    new: dict[str, Any] = {path[0]: value for path, value in changes.items() if len(path) == 1}
    for part in dict.fromkeys(path[0] for path in changes if len(path) > 1):
        inner = {path[1:]: value for path, value in changes.items() if path[0] == part}
        new[part] = _rebuild(getattr(owner, part), inner)
    return replace(owner, **new)


def checked(config: Any, name: str, value: Value, file: Path | None) -> Value:
    """The value as its field wants it, of its type; `InputError` otherwise. Ranges are the configuration's to check."""
    kind = kind_of(config, name, file)
    try:
        return _converted(kind, value)
    except ValueError as expected:
        raise InputError(
            f"{value!r} is not {expected}", file=file, column=name, fix=f"give {expected}"
        ) from None


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
