"""The options of several methods as one dataclass: what `--methods.NAME.FIELD` and `methods.NAME.FIELD` reach."""

from collections.abc import Sequence
from dataclasses import field, is_dataclass, make_dataclass
from functools import lru_cache
from typing import Any

import tyro

from ialp_jax.artifacts import InputError
from ialp_jax.methods.registry import with_foundations

Flat = tyro.conf.arg(name="")
"""Marks a group of options whose fields are named as if they stood in the method itself."""


def options_of(references: Sequence[str], given: Any = None) -> Any:
    """The options of these methods and of those they build on, a frozen dataclass with a field for each.

    Args:
        references: methods by name or file.
        given: options of this kind; those of the same methods are taken over, others are new.

    Raises:
        InputError: if what is given is nothing of the kind.
    """
    if given is not None and not is_dataclass(given):
        raise InputError(f"{given!r} are no methods' options", column="methods",
                         fix="make them by options_of, or leave them out")  # fmt: skip
    entries = with_foundations(references)
    make = _options_class(tuple((entry.name, entry.options) for entry in entries))
    kept = {entry.name: getattr(given, entry.name) for entry in entries
            if isinstance(getattr(given, entry.name, None), entry.options)}  # fmt: skip
    return make(**kept)


@lru_cache(maxsize=64)
def _options_class(methods: tuple[tuple[str, type[Any]], ...]) -> type[Any]:
    fields = [(name, options, field(default_factory=options)) for name, options in methods]
    return make_dataclass("Options", fields, frozen=True, namespace={"__doc__": "Options of methods."})
