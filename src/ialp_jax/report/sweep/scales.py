"""Where a swept value lies on its axis, between 0 and 1, and which values are written beside it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.ticker import MaxNLocator

from ialp_jax.artifacts import InputError

NONE_PLACE = -0.2  # beside a numeric axis, where "none" is written
ALL_SHOWN = 6  # up to so many different values are all written; of more, round numbers
LONGEST = 14


@dataclass(frozen=True)
class Scale:
    """One axis of the search.

    Attributes:
        name: short, but unlike every other axis's.
        kind: "log", "linear" or "category".
        places: of every setting, [S]; `NONE_PLACE` for no value on a numeric axis.
        ticks: (place, text), ascending.
    """

    name: str
    kind: str
    places: Float[np.ndarray, " S"]
    ticks: tuple[tuple[float, str], ...]

    @property
    def lowest(self) -> float:
        """Where the axis begins: 0, or lower to hold "none"."""
        return min(0.0, float(self.places.min()))


def scale(axis: dict[str, Any], name: str, values: list[Any]) -> Scale:
    """The scale of one axis from its entry in `sweep.json` and the settings' values.

    Raises:
        InputError: if a value on a logarithmic axis is not above 0.
    """
    if not all(value is None or _is_number(value) for value in values) or all(v is None for v in values):
        return _categories(axis, name, values)
    numbers = [float(value) for value in values if value is not None]
    bounds = [float(axis[end]) for end in ("low", "high") if _is_number(axis.get(end))]
    log = bool(axis.get("log"))
    if log and min(numbers + bounds) <= 0:
        raise InputError(f"{min(numbers + bounds):g} on a logarithmic axis", file="results.parquet",
                         column=f"axis.{axis['name']}", fix="use values above 0, or an axis that is not logarithmic")  # fmt: skip
    low, high = min(numbers + bounds), max(numbers + bounds)

    def place(value: float) -> float:
        if low == high:
            return 0.5
        if log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    places = np.array([NONE_PLACE if value is None else place(float(value)) for value in values])
    ticks = [(place(value), short_number(value)) for value in _written(numbers, low, high, log)]
    none = [(NONE_PLACE, "none")] if len(numbers) < len(values) else []
    return Scale(name, "log" if log else "linear", places, tuple(none + ticks))


def short_number(value: float) -> str:
    """Three digits that matter, as short as they go."""
    if abs(value) >= 1000 and value == round(value) and abs(value) < 1e7:
        return f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def show(value: Any) -> str:
    """A swept value in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return short_number(value) if isinstance(value, (int, float)) else printable(value)


def printable(value: Any) -> str:
    """Text without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def shorten(text: Any, longest: int = LONGEST) -> str:
    """Text that fits a figure."""
    text = printable(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def thinned(ticks: tuple[tuple[float, str], ...], gap: float, letter: float = 0.0) -> list[tuple[float, str]]:
    """Ticks whose texts do not touch: the first of two that are too near stays.

    Args:
        ticks: (place, text), ascending.
        gap: least distance of two ticks.
        letter: width of a letter, where texts stand side by side; 0 where they stand above each other.
    """
    kept: list[tuple[float, str]] = []
    for place, text in ticks:
        if not kept or place - kept[-1][0] >= gap + letter * (len(text) + len(kept[-1][1])) / 2:
            kept.append((place, text))
    return kept


def fanned(
    places: Float[np.ndarray, " S"], order: Float[np.ndarray, " S"], most: float
) -> Float[np.ndarray, " S"]:
    """Moves settings that share a place apart, in ascending `order`, by at most `most` to either side.

    They stay nearer to their own place than to the next one.
    """
    distinct = np.unique(places)
    width = most if distinct.size < 2 else min(most, 0.35 * float(np.diff(distinct).min()))
    moved = places.astype(float).copy()
    for place in distinct:
        shared = np.flatnonzero(places == place)
        if shared.size > 1:
            moved[shared[np.argsort(order[shared], kind="stable")]] += np.linspace(-width, width, shared.size)
    return moved


def _categories(axis: dict[str, Any], name: str, values: list[Any]) -> Scale:
    """Equal distances, in the order the sweep listed them, else sorted."""
    listed = [show(value) for value in axis.get("values") or []]
    found = [show(value) for value in values]
    names = [*dict.fromkeys(text for text in listed if text in found), *sorted(set(found) - set(listed))]
    step = 1 / max(1, len(names) - 1)
    where = {text: index * step if len(names) > 1 else 0.5 for index, text in enumerate(names)}
    ticks = tuple((place, shorten(text)) for text, place in where.items())
    return Scale(name, "category", np.array([where[text] for text in found]), ticks)


def _written(numbers: list[float], low: float, high: float, log: bool) -> list[float]:
    """Values to write beside the axis, ascending."""
    distinct = sorted(set(numbers))
    if len(distinct) <= ALL_SHOWN:
        return distinct
    if not log:
        return [
            tick for tick in MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high
        ]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) >= 3:
            return ticks
    return [low, high]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
