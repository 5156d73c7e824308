"""Ranges of numbers, written on the fields they are about; `values.py` checks them.

learning_rate: Annotated[float, above(0)] = 1e-3
"""

import math
from dataclasses import dataclass
from typing import Annotated


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
