"""A study by the dotted names of its fields: their types, and other values put into them."""

import difflib
import math
import sys
import types
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin, get_type_hints

from ialp_jax.artifacts import InputError, Value, plain, sayable
from ialp_jax.marks import leaves, marks_on
from ialp_jax.study.renamed import new_names
from ialp_jax.values import check_value, checked_as_a_whole

if TYPE_CHECKING:  # it imports JAX
    from ialp_jax.study.config import StudyConfig

Attributes = tuple[str, ...]

_LAST: list[tuple[Any, dict[str, Attributes]]] = [(None, {})]


def fields_of(config: Any) -> list[str]:
    """Dotted names of all fields, in the order of their definition; `methods.NAME.FIELD` for a method's option."""
    return list(_places(config))


def _places(config: Any) -> dict[str, Attributes]:
    """The attribute path of every field by its dotted name; kept for the configuration that was asked about last.

    Most questions are about one configuration, whose hundreds of fields took half the time of reading a sweep's file.
    """
    last = _LAST[0]
    if last[0] is not config:
        last = _LAST[0] = config, {leaf.name: leaf.path for leaf in leaves(config)}
    return last[1]


def _owner(config: Any, path: Attributes) -> Any:
    """The dataclass that has the last field of a path."""
    for part in path[:-1]:
        config = getattr(config, part)
    return config


def place_of(config: Any, name: str, file: Path | None = None) -> Attributes:
    """Attribute path of a field.

    Raises:
        InputError: if there is no such field; names what it is called now, or those that are spelt alike.
    """
    places = _places(config)
    if name in places:
        return places[name]
    renamed = new_names(name)
    if renamed:
        raise InputError(
            "the field has another name now", file=file, column=name, fix=f"use {' and '.join(renamed)}"
        )
    ends = [field for field in places if field.split(".")[-1] == name.split(".")[-1]]
    alike = list(dict.fromkeys([*difflib.get_close_matches(name, places, 3), *ends]))[:4]
    inside = [field for field in places if field.startswith(f"{name}.")][:4]
    raise InputError("there is no such field", file=file, column=name,
                     fix=f"use {', '.join(inside or alike)}" if inside or alike else "see `ialp train --help`",
                     )  # fmt: skip


def kind_of(config: Any, name: str, file: Path | None = None) -> Any:
    """Type of a field, for example `int`, `float | None` or `Literal["gru", "sasrec"]`.

    Raises:
        InputError: if there is no such field.
    """
    path = place_of(config, name, file)
    return get_type_hints(type(_owner(config, path)))[path[-1]]


def marks_of(config: Any, name: str) -> list[Any]:
    """The marks on a field and on the groups it stands in, the field's own last."""
    marks: list[Any] = []
    owner = config
    for part in place_of(config, name):
        marks += marks_on(owner.__class__).get(part, ())
        owner = getattr(owner, part)
    return marks


def beside(config: Any, name: str, field: str) -> str:
    """Dotted name of another field of the group that a field is named in."""
    other = ".".join([*name.split(".")[:-1], field])
    place_of(config, other)
    return other


def apply(config: "StudyConfig", changes: Mapping[str, Value], file: Path | None = None) -> "StudyConfig":
    """The study with other values in some fields. Whole numbers do for real ones, lists for tuples, "none" for None.

    Args:
        config: the study.
        changes: new values by dotted name.
        file: where the changes were read, for errors.

    Raises:
        InputError: if a field does not exist, or its value has the wrong type or is out of range.
    """
    if "methods" in changes:  # first: which options there are depends on it
        config = replace(
            config, methods=cast("tuple[str, ...]", converted(config, "methods", changes["methods"], file))
        )
    values = {place_of(config, name, file): converted(config, name, value, file)
              for name, value in changes.items() if name != "methods"}  # fmt: skip
    try:
        with checked_as_a_whole():
            return _rebuild(config, values)
    except InputError as error:
        raise error.in_file(file) from None


def _rebuild(owner: Any, changes: dict[Attributes, Value]) -> Any:
    """All changes of a dataclass at once, as its fields may only be right together."""
    new: dict[str, Any] = {path[0]: value for path, value in changes.items() if len(path) == 1}
    for part in dict.fromkeys(path[0] for path in changes if len(path) > 1):
        inner = {path[1:]: value for path, value in changes.items() if path[0] == part}
        new[part] = _rebuild(getattr(owner, part), inner)
    return replace(owner, **new)


def converted(config: Any, name: str, value: Value, file: Path | None) -> Value:
    """The value as its field wants it, of its type and in its range; `InputError` otherwise."""
    path = place_of(config, name, file)
    wanted: Value = _converted(kind_of(config, name, file), value)
    hints = get_type_hints(type(_owner(config, path)), include_extras=True)
    check_value(wanted, hints[path[-1]], name, file)
    return wanted


def _converted(kind: Any, value: Any) -> Any:
    """What a file can only write otherwise, as the type wants it; anything else as it is."""
    origin, choices = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = [choice for choice in choices if choice is not type(None)]
        return None if value is None or value == "none" else _converted(inner, value)
    if origin is tuple and isinstance(value, (tuple, list)):
        return tuple(_converted(choices[0], item) for item in value)
    if kind is float and value in ("inf", "-inf"):  # for which JSON has no number (`speakable`)
        return float(value)
    if (
        kind is float
        and isinstance(value, int)
        and not isinstance(value, bool)
        and abs(value) < sys.float_info.max
    ):
        return float(value)
    return value


def held(config: Any, name: str) -> Any:
    """What a field holds."""
    for part in place_of(config, name):
        config = getattr(config, part)
    return config


def record_of(config: "StudyConfig") -> dict[str, Any]:
    """A study as JSON can say it: its fields as they are nested, and `options`, those of every method by their names.

    A setting that is infinite is the text "inf".
    """
    record = {field.name: plain(getattr(config, field.name)) for field in fields(config)}
    record["options"] = {field.name: {name: plain(held(getattr(config.options, field.name), name))
                                      for name in fields_of(getattr(config.options, field.name))}
                         for field in fields(config.options)}  # fmt: skip
    return {name: speakable(value) for name, value in record.items()}


def speakable(value: Any) -> Any:
    """Plain values of settings with infinity as text, for which JSON has no number."""
    return sayable(value, words=lambda number: str(number) if math.isinf(number) else number)


def hashable(value: Any) -> Any:
    """What was read from JSON with tuples for its lists, as fields hold them; inside of dictionaries too."""
    if isinstance(value, dict):
        return {name: hashable(inner) for name, inner in value.items()}
    return tuple(map(hashable, value)) if isinstance(value, list) else value
