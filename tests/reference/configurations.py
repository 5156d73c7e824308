"""All dataclasses of the package, which of their fields say what may stand there, and values that may."""

import importlib
import pkgutil
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import ialp_jax
from ialp_jax.ranges import Range


@cache
def dataclasses_of_the_package():
    """Every one that is not of flax, whose leaves may be traced."""
    found = {}
    for module in pkgutil.walk_packages(ialp_jax.__path__, "ialp_jax."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.name:
                found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return {name: kind for name, kind in found.items() if not hasattr(kind, "_flax_dataclass")}


@cache
def hints_of(kind):
    """Types of its fields with their marks; none where they cannot be read at run time."""
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError:
        return {}


def wrong_values(hint):
    """Values that a type with a range or a list of words rules out."""
    if get_origin(hint) is Annotated:
        ranges = [mark for mark in hint.__metadata__ if isinstance(mark, Range)]
        outside = [end for one in ranges for end in (one.least - 1, one.most + 1) if end not in one]
        whole = [int(end) for end in outside if abs(end) < 1e12]
        return whole + wrong_values(hint.__origin__)
    if get_origin(hint) is Literal:
        return ["Explicitt"]
    if get_origin(hint) is tuple:
        return [(wrong,) for inner in get_args(hint)[:1] for wrong in wrong_values(inner)]
    if get_origin(hint) in (Union, types.UnionType):
        return [wrong for inner in get_args(hint) for wrong in wrong_values(inner)]
    return []


def constrained_fields():
    """(name, class, field, a wrong value) of every field that has a range or words to choose from."""
    return [
        (f"{name}.{field.name}", kind, field.name, wrong)
        for name, kind in dataclasses_of_the_package().items()
        for field in fields(kind)
        if field.name in hints_of(kind)
        for wrong in wrong_values(hints_of(kind)[field.name])[:1]
    ]


def sample(hint):
    """A value that a field may hold; None where its type says nothing that is checked."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return sample(hint.__origin__)
    if origin is Literal:
        return choices[0]
    if origin in (Union, types.UnionType):
        return None if type(None) in choices else sample(choices[0])
    if origin is tuple:
        return () if choices[-1] is ... else tuple(map(sample, choices))
    if isinstance(hint, type) and is_dataclass(hint):
        return made(hint)
    return {bool: False, int: 2, float: 0.5, str: "a", Path: Path("a")}.get(hint)


def needed_by(kind):
    """Names of the fields without a default."""
    return [field.name for field in fields(kind) if field.default is field.default_factory is MISSING]


def made(kind, /, **given):
    """An instance, with samples for what has no default."""
    return kind(**{name: sample(hints_of(kind).get(name)) for name in needed_by(kind)} | given)
