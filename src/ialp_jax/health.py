"""What is watched while a method learns: quantities that stay within a range in a sound run, and words for when not.

An invariant is found by the name of a metric, whatever learner returns it. What a learner returns for this purpose alone
is named `watched(...)`: run states keep such metrics apart, so that one may be added without the older ones becoming
unreadable, and a run never counts as diverged because of one. Host only, without JAX.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

PREFIX = "watched."
BINS = 20
"""Into which the updates of a stage are cut: a bin is 5 % of them, and holds a mean."""
DIGITS = 4
"""Significant ones that are kept of a mean: these numbers are looked at, nothing is computed from them."""
Metrics = Mapping[str, np.ndarray]
Record = dict[str, Any]
"""The health of one stage as JSON has it: "stage", "updates", "watched" (see `stage_health`) and "left" (see `Left`)."""


def watched(name: str) -> str:
    """The metric of a learner that only tells of its health."""
    return PREFIX + name


def is_watched(metric: str) -> bool:
    """Whether a metric tells of a learner's health and of nothing else."""
    return metric.startswith(PREFIX)


@dataclass(frozen=True)
class Invariant:
    """A range that a metric keeps in a sound run.

    Attributes:
        metric: its name among what learners return.
        title: for people, in lower case.
        unit: of the numbers, "" for a share or a ratio.
        low: smallest mean of a bin that is sound.
        high: largest mean of a bin that is sound.
        below: what it means to be below, and what to do.
        above: the same for above.
        lasting: bins in a row that must be outside before it is said.
    """

    metric: str
    title: str
    unit: str = ""
    low: float = -np.inf
    high: float = np.inf
    below: str = ""
    above: str = ""
    lasting: int = 1


@dataclass(frozen=True)
class Left:
    """What is said of an invariant that some seeds left.

    Attributes:
        title: of the invariant.
        metric: its name.
        seeds: those that left it.
        update: the last of the first bin in which a seed was outside, from 1 on.
        value: the seed's mean in that bin.
        bound: the one it passed.
        words: what it means, and what to do.
    """

    title: str
    metric: str
    seeds: tuple[int, ...]
    update: int
    value: float
    bound: float
    words: str


INVARIANTS: dict[str, Invariant] = {}
"""By the name of the metric."""


def watch(invariant: Invariant) -> None:
    """Has a metric watched, a user's own too.

    Raises:
        ValueError: if its metric is watched already.
    """
    if invariant.metric in INVARIANTS:
        raise ValueError(f"the metric {invariant.metric!r} is watched already")
    INVARIANTS[invariant.metric] = invariant


def stage_health(stage: str, updates: int, metrics: Metrics) -> Record:
    """What is kept of the watched metrics of a stage, and which invariants were left.

    Args:
        stage: its name.
        updates: of a whole run.
        metrics: name -> [R, chunks], all that its learner returned; NaN where there is none.

    Returns:
        "watched": name -> "title", "unit", "low", "high" and "bins" [R][K]; None for what is missing or unbounded. "left": as
        `Left`. A reader needs no registry.
    """
    kept = {name: invariant for name, invariant in INVARIANTS.items() if name in metrics}
    bins = {name: binned(metrics[name]) for name in kept}
    left = [departure for name, invariant in kept.items()
            if (departure := left_range(invariant, bins[name], updates)) is not None]  # fmt: skip
    return {
        "stage": stage,
        "updates": updates,
        "watched": {name: _described(invariant, bins[name]) for name, invariant in kept.items()},
        "left": [asdict(departure) | {"seeds": list(departure.seeds)} for departure in left],
    }


def binned(values: Float[np.ndarray, "R C"], bins: int = BINS) -> Float[np.ndarray, "R K"]:
    """Means over at most `bins` stretches of a run; NaN where a stretch holds no number."""
    edges = np.linspace(0, values.shape[1], min(bins, values.shape[1]) + 1).astype(int)[:-1]
    finite = np.isfinite(values)
    sums, counts = (
        np.add.reduceat(parts, edges, axis=1, dtype=np.float64)
        for parts in (np.where(finite, values, 0.0), finite)
    )
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def left_range(invariant: Invariant, bins: Float[np.ndarray, "R K"], updates: int) -> Left | None:
    """Where the seeds of a stage first left a range for long enough; None if none did.

    Of several seeds the one that left it first is quoted. A range with two ends that were both left tells of the earlier.
    """
    sides = [
        (bins < invariant.low, invariant.low, invariant.below),
        (bins > invariant.high, invariant.high, invariant.above),
    ]
    firsts = [_first_lasting(outside, invariant.lasting) for outside, _, _ in sides]
    places = np.minimum(*firsts)
    seeds = np.flatnonzero(places < bins.shape[1])
    if not seeds.size:
        return None
    quoted = seeds[np.argmin(places[seeds])]
    place = int(places[quoted])
    _, bound, words = sides[0] if firsts[0][quoted] == place else sides[1]
    update = round((place + 1) / bins.shape[1] * updates)
    return Left(
        invariant.title, invariant.metric, tuple(map(int, seeds)), update, _rounded(bins[quoted, place]), bound, words
    )  # fmt: skip


def _first_lasting(outside: np.ndarray, lasting: int) -> np.ndarray:
    """Of each row the first bin from which on `lasting` in a row are true; the number of bins where there is none."""
    lasting = min(lasting, outside.shape[1])
    windows = np.all(np.lib.stride_tricks.sliding_window_view(outside, lasting, axis=1), axis=2)
    return np.where(np.any(windows, axis=1), np.argmax(windows, axis=1), outside.shape[1])


def _described(invariant: Invariant, bins: Float[np.ndarray, "R K"]) -> Record:
    low, high = (bound if np.isfinite(bound) else None for bound in (invariant.low, invariant.high))
    numbers = [[_rounded(value) if np.isfinite(value) else None for value in seed] for seed in bins]
    return {"title": invariant.title, "unit": invariant.unit, "low": low, "high": high, "bins": numbers}


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


# The bounds, and why they lie there. Defaults stay within them with room to spare, broken runs pass them by factors
# (docs/health.md has both).
watch(
    Invariant(
        "entropy",
        "entropy of the policy",
        "nats",
        low=0.05,  # 1.05 items to choose from, where there are hundreds
        below="the policy stopped exploring; raise entropy or lower learning_rate",
    )
)
watch(
    Invariant(
        watched("value_mean"),
        "mean |value| / best return",
        high=2.0,  # right values stay at or below 1, bootstrapped ones of sound runs somewhat above
        above="values lie beyond what any policy can earn; lower learning_rate or discount",
        lasting=2,
    )
)
watch(
    Invariant(
        watched("value_largest"),
        "largest |value| / best return",
        high=10.0,  # of thousands of states one is always far off
        above="values of some states ran away; lower learning_rate or discount",
        lasting=2,
    )
)
watch(
    Invariant(
        watched("ratio_clipped"),
        "clipped importance ratios",
        high=0.95,  # with a bound of 1 about half of all ratios lie above it
        above="nearly every ratio lies beyond its bound and says nothing; raise ratio_clip or lower learning_rate",
        lasting=2,
    )
)
watch(
    Invariant(
        "ratio",
        "mean importance ratio, clipped",
        low=0.02,  # 1 where the policy that serves is the one that learns
        below="the policy that learns would recommend next to nothing of what is served, and learns from as little; "
        "lower learning_rate",
        lasting=2,
    )
)
watch(
    Invariant(
        "clip_fraction",
        "clipped ratios",
        high=0.5,  # sound runs clip a tenth to a third
        above="most decisions move the policy no more; lower learning_rate, take fewer epochs or raise clip",
        lasting=2,
    )
)
# No bound: gradients whose advantages are scaled to a deviation of 1 are often above theirs in every update of a sound run,
# and Adam's steps do not depend on their size. How far above is what tells.
watch(Invariant(watched("gradient_clipped"), "clipped gradients"))
watch(
    Invariant(
        watched("gradient_size"),
        "gradient norm / its bound",
        high=100.0,
        above="what is left of the gradients after clipping is their direction; lower learning_rate or raise gradient_norm",
        lasting=2,
    )
)
