"""Whether scores are the probabilities they claim to be."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

BINS = 10


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram.

    Attributes:
        score: mean score.
        observed: share of its pairs in which the event happened.
        count: pairs.
    """

    score: float
    observed: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """Scores against what happened.

    Attributes:
        error: expected calibration error, the mean of |score - observed| of the bins, weighted by count.
        brier: mean squared difference of score and event (Brier 1950).
        base_rate: share of pairs in which the event happened.
        base_brier: Brier score of a judge that gives every pair the base rate.
        bins: at most `BINS`, of equal mass, ascending; equal scores share a bin.
    """

    error: float
    brier: float
    base_rate: float
    base_brier: float
    bins: tuple[Bin, ...]


def calibration(scores: Float[np.ndarray, " P"], happened: Bool[np.ndarray, " P"]) -> Calibration:
    """Measures P >= 1 scores in [0, 1] (Guo et al. 2017, "On calibration of modern neural networks", with bins of
    equal mass)."""
    scores, base = scores.astype(np.float64), float(happened.mean())
    code = equal_mass(scores, BINS)
    bins = [
        Bin(float(scores[code == one].mean()), float(happened[code == one].mean()), int((code == one).sum()))
        for one in np.unique(code)
    ]
    error = sum(one.count * abs(one.score - one.observed) for one in bins) / scores.size
    brier = float(np.mean((scores - happened) ** 2))
    return Calibration(error, brier, base, base * (1 - base), tuple(bins))


def equal_mass(values: Float[np.ndarray, " P"], bins: int) -> Int[np.ndarray, " P"]:
    """Bin of each value, between its quantiles; equal values share a bin, so there may be fewer than `bins`."""
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    return np.searchsorted(edges, values)
