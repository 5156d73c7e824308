"""Session curves made ready to draw: bins merged, seeds summarised, nothing else smoothed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ialp_jax.evaluation.statistics import estimate

MOST_POINTS = 40
BAND_RESAMPLES = 1_000


@dataclass(frozen=True)
class Curve:
    """Interquartile mean over seeds with its bootstrap band; NaN where a seed started no session.

    Attributes:
        steps: [P] middles of the merged bins, in online simulator steps.
        middle, low, high: [P]; the band is NaN for a single seed.
    """

    steps: Float[np.ndarray, " P"]
    middle: Float[np.ndarray, " P"]
    low: Float[np.ndarray, " P"]
    high: Float[np.ndarray, " P"]


def merge_width(bins: Float[np.ndarray, " K+1"]) -> int:
    """How many neighbouring bins one drawn point merges, so that at most `MOST_POINTS` are drawn."""
    return -(-(bins.size - 1) // MOST_POINTS)


def _starts(bins: int, width: int) -> np.ndarray:
    """First bin of each merged one; bins left over at the end join the last, which would else hold few sessions."""
    return np.arange(0, max(1, bins - width + 1), width)


def session_curve(
    bins: Float[np.ndarray, " K+1"], sessions: Float[np.ndarray, "R K"], total: Float[np.ndarray, "R K"]
) -> Curve:
    """Mean of `total` per session in each merged bin: sums merged, then divided, then summarised."""
    count, amount = _merge(sessions, merge_width(bins)), _merge(total, merge_width(bins))
    means = np.divide(amount, count, out=np.full(count.shape, np.nan), where=count > 0)
    return _summarise(bins, means)


def plain_curve(bins: Float[np.ndarray, " K+1"], values: Float[np.ndarray, "R K"]) -> Curve:
    """Mean of `values` over each merged bin (the mixture weight, for example), summarised over seeds."""
    width = merge_width(bins)
    return _summarise(bins, _merge(values, width) / _merge(np.ones_like(values), width))


def _merge(values: np.ndarray, width: int) -> np.ndarray:
    return np.add.reduceat(np.asarray(values, dtype=float), _starts(values.shape[1], width), axis=1)


def _summarise(bins: np.ndarray, values: np.ndarray) -> Curve:
    starts = _starts(bins.size - 1, merge_width(bins))
    edges = np.append(bins[starts], bins[-1])
    missing = (np.nan, np.nan, np.nan)
    points = [
        estimate(column, resamples=BAND_RESAMPLES) if np.isfinite(column).all() else missing
        for column in values.T
    ]
    middle, low, high = np.array(points, dtype=float).T
    return Curve((edges[:-1] + edges[1:]) / 2, middle, low, high)
