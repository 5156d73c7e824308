"""What a run's files say of its learners' health: read and checked, each stage once, and what left its range in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.report.cards import Card

FIX = "finish the run, or run it again"
MOST_SAID = 2  # on the terminal; the page says all


@dataclass(frozen=True)
class Watched:
    """A metric of one stage whose range is known.

    Attributes:
        title: for people, in lower case.
        unit: "" for a share or a ratio.
        low: smallest sound value, None where there is none.
        high: largest one.
        bins: [R, K] means over stretches of the stage; NaN where there was no number.
        left: whether a seed left the range for long enough to be told.
    """

    title: str
    unit: str
    low: float | None
    high: float | None
    bins: Float[np.ndarray, "R K"]
    left: bool


@dataclass(frozen=True)
class StageHealth:
    """One stage: it stands with the first method that has it.

    Attributes:
        label: of the method, and of the stage where that has another name.
        watched: by the metric's name.
        statements: a sentence for each metric that left its range.
    """

    label: str
    watched: dict[str, Watched]
    statements: tuple[str, ...]


def read_health(
    path: Path, methods: Mapping[str, Any], cards: Mapping[str, Card], seeds: int
) -> tuple[StageHealth, ...]:
    """The stages of all methods in their order, equal ones once; none of files that were written before any was watched.

    Raises:
        InputError: naming the field that is malformed.
    """
    told: list[Any] = []
    stages = []
    for name, method in methods.items():
        records = method.get("health", [])
        try:
            for record in records:
                if record not in told:
                    stages.append(_stage(record, name, cards[name]["title"], seeds))
                    told.append(record)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError("expected stages with what was watched of them, numbers [seeds, bins], and what left its range",
                             file=path, column=f"methods.{name}.health", fix=FIX) from None  # fmt: skip
    return tuple(stages)


def _stage(record: dict[str, Any], method: str, title: str, seeds: int) -> StageHealth:
    label = title if record["stage"] in (method, title) else f"{title}: {record['stage']}"
    departures = {departure["metric"]: departure for departure in record["left"]}
    watched = {}
    for metric, stored in record["watched"].items():
        bins = np.array(stored["bins"], dtype=float)  # None becomes NaN
        if bins.ndim != 2 or bins.shape[0] != seeds or not bins.shape[1]:
            raise ValueError("not [seeds, bins]")
        low, high = (None if stored[end] is None else float(stored[end]) for end in ("low", "high"))
        watched[metric] = Watched(
            str(stored["title"]), str(stored["unit"]), low, high, bins, metric in departures
        )
    statements = tuple(
        _statement(label, departure, watched[metric], int(record["updates"]), seeds)
        for metric, departure in departures.items()
    )
    return StageHealth(label, watched, statements)


def _statement(label: str, departure: dict[str, Any], watched: Watched, updates: int, seeds: int) -> str:
    """For example "A2C: entropy fell to 0.02 nats at update 120 of 400: the policy stopped exploring; ..."."""
    value, of = float(departure["value"]), len(departure["seeds"])
    moved = "fell" if watched.low is not None and value < watched.low else "rose"
    unit = f" {watched.unit}" if watched.unit else ""
    which = f" in {of} of {seeds} seeds" if seeds > 1 else ""
    return (
        f"{label}: {watched.title} {moved} to {value:.3g}{unit} at update {int(departure['update']):,} of {updates:,}{which} "
        f"({'at least' if moved == 'fell' else 'at most'} {float(departure['bound']):g} is sound): {departure['words']}."
    )


def health_statements(stages: tuple[StageHealth, ...]) -> list[str]:
    """A sentence for everything that left its range."""
    return [statement for stage in stages for statement in stage.statements]


def health_line(statements: list[str]) -> str:
    """The first of them and how many more there are, for a terminal; "" where there is none."""
    more = len(statements) - MOST_SAID
    return " ".join(statements[:MOST_SAID]) + (f" And {more} more on the page." if more > 0 else "")


def metrics_watched(stages: tuple[StageHealth, ...]) -> dict[str, str]:
    """Titles by metric, in the order in which they first appear."""
    titles: dict[str, str] = {}
    for stage in stages:
        titles |= {metric: watched.title for metric, watched in stage.watched.items() if metric not in titles}
    return titles


def health_table(stages: tuple[StageHealth, ...]) -> dict[str, Any]:
    """Smallest, middle and largest mean of a stretch, of all seeds: `columns` and `rows` of (label, values)."""
    titles = metrics_watched(stages)
    return {
        "columns": [title + _range(stages, metric) for metric, title in titles.items()],
        "rows": [
            (stage.label, [_extent(stage.watched.get(metric)) for metric in titles]) for stage in stages
        ],
    }


def _extent(watched: Watched | None) -> str:
    numbers = np.empty(0) if watched is None else watched.bins[np.isfinite(watched.bins)]
    if not numbers.size:
        return "-"
    low, middle, high = (f"{value:.3g}" for value in np.quantile(numbers, [0, 0.5, 1]))
    return f"{low} / {middle} / {high}"


def _range(stages: tuple[StageHealth, ...], metric: str) -> str:
    """For example ", nats, sound from 0.05 on"."""
    watched = next(stage.watched[metric] for stage in stages if metric in stage.watched)
    return "".join(f", {part}" for part in _bounds(watched))


def _bounds(watched: Watched) -> Iterator[str]:
    if watched.unit:
        yield watched.unit
    if watched.low is not None and watched.high is not None:
        yield f"sound from {watched.low:g} to {watched.high:g}"
    elif watched.low is not None:
        yield f"sound from {watched.low:g} on"
    elif watched.high is not None:
        yield f"sound up to {watched.high:g}"
