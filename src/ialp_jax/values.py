"""The one check of every configuration: types, words to choose from and ranges, as they stand on its fields.

    @dataclass(frozen=True)
    @checked
    class Stream:
        users: Count = 64

Whoever makes one is checked: a command line, a file, a user's own Python. A dataclass of numbers that are data of a
program (flax) is not checked where it is made, since there they may be traced, but where it stands in a configuration.
"""

import difflib
import math
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ialp_jax.artifacts import InputError
from ialp_jax.marks import shown_name
from ialp_jax.ranges import Range

Class = TypeVar("Class", bound=type)
Made = TypeVar("Made")
REMAKE = "make the file again with this version"
_as_a_whole: ContextVar[bool] = ContextVar("as_a_whole", default=False)


class Fault(NamedTuple):
    """What is wrong with a value, and how to mend it."""

    problem: str
    fix: str


def checked(owner: Class) -> Class:
    """Below `dataclass`: every instance is checked when it is made, before what its own `__post_init__` does."""
    own = getattr(owner, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        if not _as_a_whole.get():
            check_values(self, type(self).__name__)
        if own is not None:
            own(self)

    owner.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return owner


@contextmanager
def checked_as_a_whole() -> Iterator[None]:
    """Within, parts are made unchecked: for those who check what the parts are for, so that errors have the whole name."""
    token = _as_a_whole.set(True)
    try:
        yield
    finally:
        _as_a_whole.reset(token)


def require_fields(
    record: Any, kinds: Mapping[str, type | types.UnionType], file: Path, fix: str = REMAKE
) -> None:
    """Checks that a file holds values by name where such are expected, and those that are needed.

    Args:
        record: what was read.
        kinds: of JSON's values (`str`, `dict`, ...), by the names that must be there; others may be there too.
        file: where it was read, for errors.
        fix: of the error.

    Raises:
        InputError: naming the file, if it holds something else, or a value is missing or of another kind.
    """
    if not isinstance(record, Mapping):
        raise InputError(f"a {type(record).__name__} is no record of values by name", file=file, fix=fix)
    for name, kind in kinds.items():
        if name not in record:
            raise InputError("the field is missing", file=file, column=name, fix=fix)
        if not isinstance(record[name], kind):
            raise InputError(
                f"{record[name]!r:.40} is not what the field holds", file=file, column=name, fix=fix
            )


def made_from(kind: type[Made], record: Mapping[str, Any], file: Path) -> Made:
    """A dataclass from the plain values that a file holds; lists are tuples again.

    Args:
        kind: the dataclass.
        record: value by field.
        file: where they were read, for errors.

    Raises:
        InputError: naming the file, if it holds no such record, or a field is missing, none of the dataclass's, or holds
            what it may not.
    """
    require_fields(record, {}, file)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    needed = {name for name, field in known.items() if field.default is field.default_factory is MISSING}
    for names, problem in (
        (record.keys() - known, "the field is not known"),
        (needed - record.keys(), "the field is missing"),
    ):
        for name in sorted(names):
            raise InputError(problem, file=file, column=name, fix=REMAKE)
    try:
        return kind(**{name: _held(value) for name, value in record.items()})
    except InputError as error:
        raise error.in_file(file) from None


def _held(value: Any) -> Any:
    return tuple(map(_held, value)) if isinstance(value, list) else value


def check_values(config: Any, prefix: str = "") -> None:
    """Checks every field of a dataclass, and of the dataclasses in it, against what stands on it.

    Args:
        config: an instance of a dataclass.
        prefix: its dotted name in a larger configuration, for the message.

    Raises:
        InputError: for a value of another type, a word that is none to choose from, or a number that is not finite or
            out of its range; names the field and what may stand there.
    """
    hints = _hints(config.__class__)
    for field in fields(config):
        value = getattr(config, field.name)
        name = ".".join(part for part in (prefix, shown_name(type(config), field.name)) if part)
        check_value(value, hints[field.name], name)
        if is_dataclass(value) and not isinstance(value, type):
            check_values(value, name)


def check_value(value: Any, hint: Any, name: str, file: Path | None = None) -> None:
    """Checks one value against a type.

    Raises:
        InputError: as `check_values`; `name` is its name in the message, `file` where it was read.
    """
    fault = fault_of(value, hint)
    if fault is not None:
        raise InputError(fault.problem, file=file, column=name, fix=fault.fix)


def fault_of(value: Any, hint: Any, allowed: Range | None = None) -> Fault | None:
    """What is wrong with a value where a type stands; None where nothing is, or the type says nothing.

    Args:
        value: what the field holds; arrays of a program are not looked into.
        hint: `int`, `Annotated[float, range]`, `Literal[...]`, a tuple, a dataclass, or several of them.
        allowed: the range that the type stands in.
    """
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Annotated:
        written = next((extra for extra in hint.__metadata__ if isinstance(extra, Range)), allowed)
        return fault_of(value, hint.__origin__, written)
    if origin in (Union, types.UnionType):
        found = [fault_of(value, choice, allowed) for choice in choices]
        return None if None in found else next(fault for fault in found if fault is not _NOT_NONE)
    if origin is Literal:
        return _fault_of_word(value, choices)
    if origin is tuple:
        return _fault_of_tuple(value, choices, allowed)
    if hint is None or hint is type(None):
        return None if value is None else _NOT_NONE
    if hint in (int, float):
        return _fault_of_number(value, hint, allowed or Range())
    for kind, accepted, words in _KINDS:
        if hint is kind:
            return None if isinstance(value, accepted) else _not(value, words)
    if is_dataclass(hint) and isinstance(hint, type):
        return None if isinstance(value, hint) else _not(value, f"a {hint.__name__}")
    return None


_NOT_NONE = Fault("it is not None", "leave it out")
_KINDS: tuple[tuple[type, tuple[type, ...], str], ...] = (
    (bool, (bool, np.bool_), "true or false"),
    (str, (str,), "a text"),
    (Path, (str, os.PathLike), "a path"),
)


def _not(value: Any, words: str) -> Fault:
    return Fault(f"{value!r} is not {words}", f"give {words}")


def _fault_of_word(value: Any, choices: Sequence[Any]) -> Fault | None:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return None
    words = [str(choice) for choice in choices]
    by_case = {word.lower(): word for word in words}
    near = difflib.get_close_matches(str(value).lower(), by_case, 1)
    fix = f"use {by_case[near[0]]}" if near else f"use one of {', '.join(words)}"
    return Fault(f"{value!r} is none of {', '.join(words)}", fix)


def _fault_of_tuple(value: Any, kinds: tuple[Any, ...], allowed: Range | None) -> Fault | None:
    if not isinstance(value, tuple):
        return _not(value, "a tuple (in a file, a list)")
    if len(kinds) == 2 and kinds[1] is ...:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        return Fault(f"{value!r} has {len(value)} values", f"give {len(kinds)}")
    found = (fault_of(inner, kind, allowed) for inner, kind in zip(value, kinds, strict=True))
    return next((fault for fault in found if fault is not None), None)


def _fault_of_number(value: Any, kind: type, allowed: Range) -> Fault | None:
    if hasattr(value, "dtype") and not isinstance(value, np.generic):
        return None  # an array of a program
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return _not(value, "a whole number" if kind is int else "a finite number")
    try:
        number = float(value)
    except OverflowError:
        return Fault("the number is too large", "give a finite number")
    if not math.isfinite(number) and not (allowed.infinite and number in allowed):
        return Fault(f"{number} is not a finite number", "give a finite number")
    if kind is int and not isinstance(value, Integral):
        return _not(value, "a whole number")
    if number not in allowed:
        return Fault(f"{number:g} is out of range", f"use a value {allowed}")
    return None


@lru_cache(maxsize=512)
def _hints(owner: type[Any]) -> dict[str, Any]:
    return get_type_hints(owner, include_extras=True)
