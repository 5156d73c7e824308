"""Ranges of numbers, written on the fields they are about, and the one check of every configuration.

    learning_rate: Annotated[float, above(0)] = 1e-3

The command line, a TOML file and Python all end in a configuration, so all are checked here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from numbers import Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np

from ialp_jax.artifacts import InputError
from ialp_jax.marks import shown_name


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`; an open end is no number of the range, and infinity only where it is said."""

    least: float = -math.inf
    most: float = math.inf
    open_least: bool = False
    open_most: bool = False
    infinite: bool = False

    def __contains__(self, number: float) -> bool:
        if math.isinf(number) and not self.infinite:
            return False
        above = self.least < number if self.open_least else self.least <= number
        below = number < self.most if self.open_most else number <= self.most
        return above and below

    def __str__(self) -> str:
        ends = []
        if self.least > -math.inf:
            ends.append(f"above {self.least:g}" if self.open_least else f"{self.least:g} or more")
        if self.most < math.inf:
            ends.append(f"below {self.most:g}" if self.open_most else f"at most {self.most:g}")
        return " and ".join(ends)


def at_least(least: float) -> Range:
    """[least, infinity)."""
    return Range(least)


def above(least: float) -> Range:
    """(least, infinity)."""
    return Range(least, open_least=True)


def within(least: float, most: float) -> Range:
    """[least, most]."""
    return Range(least, most)


def between(least: float, most: float) -> Range:
    """(least, most)."""
    return Range(least, most, open_least=True, open_most=True)


Count = Annotated[int, at_least(1)]
Weight = Annotated[float, at_least(0)]
Rate = Annotated[float, above(0)]
Share = Annotated[float, within(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, open_least=True)]
Percentile = Annotated[float, within(0, 100)]


def check_ranges(config: Any, prefix: str = "") -> None:
    """Checks every number of a dataclass, and of the dataclasses in it, against the range on its field.

    Args:
        config: an instance of a dataclass.
        prefix: its dotted name in a larger configuration, for the message.

    Raises:
        InputError: for a number that is not finite or out of its range; names the field and the range.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        name = ".".join(part for part in (prefix, shown_name(type(config), field.name)) if part)
        if is_dataclass(value):
            check_ranges(value, name)
            continue
        number_range = _ranges(config.__class__).get(field.name, Range())
        for number in _numbers(value):
            if not math.isfinite(number) and not (number_range.infinite and number in number_range):
                raise InputError(f"{number} is not a finite number", column=name, fix="give a finite number")
            if number not in number_range:
                raise InputError(
                    f"{number:g} is out of range", column=name, fix=f"use a value {number_range}"
                )


def _numbers(value: Any) -> Iterator[float]:
    """The numbers that a field holds: one, those of a tuple, or none."""
    if isinstance(value, tuple):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, Real) and not isinstance(value, (bool, np.bool)):
        yield float(value)


@lru_cache(maxsize=256)
def _ranges(owner: type[Any]) -> dict[str, Range]:
    """The ranges on the fields of a dataclass, by name."""
    hints = get_type_hints(owner, include_extras=True)
    written = {field.name: _range_in(hints[field.name]) for field in fields(owner)}
    return {name: number_range for name, number_range in written.items() if number_range is not None}


def _range_in(hint: Any) -> Range | None:
    """The range in a type: `Annotated[float, range]`, that or None, or a tuple of that."""
    if get_origin(hint) is Annotated:
        written = next((extra for extra in hint.__metadata__ if isinstance(extra, Range)), None)
        return written or _range_in(hint.__origin__)
    inner = [_range_in(choice) for choice in get_args(hint) if choice is not ...]
    return next((number_range for number_range in inner if number_range is not None), None)
