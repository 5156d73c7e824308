"""What scores are worth within each user state, over judged pairs only, and the mean of that over states.

A frame of pairs has one row per judged pair: state, item, relevant (Boolean), grade (in [0, 1]; 0 where not
relevant), and columns of scores. A state in which a measure is undefined does not count in it.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.stats import bootstrap

from ialp_jax.preferences.quality.ranking import state_auc

RESAMPLES = 2_000
SHARED_BY = 5
"""An item mean is taken over at least so many states, the pair's own among them."""


@dataclass(frozen=True)
class StateMean:
    """A mean over states with its 95 % bootstrap interval over states.

    Attributes:
        mean: None where no state counts.
        low, high: None where fewer than two do.
        states: that count.
    """

    mean: float | None
    low: float | None
    high: float | None
    states: int


def state_mean(values: Float[np.ndarray, " S"]) -> StateMean:
    """Mean of the values that are not NaN, with the percentile interval of the bootstrap (seeded)."""
    known = values[~np.isnan(values)].astype(np.float64)
    if known.size < 2:
        return StateMean(float(known[0]) if known.size else None, None, None, known.size)
    # In batches: all resamples of many states at once would fill the memory.
    found = bootstrap((known,), np.mean, vectorized=True, n_resamples=RESAMPLES, batch=100, method="percentile",
                      random_state=np.random.default_rng(0)).confidence_interval  # fmt: skip
    return StateMean(float(known.mean()), float(found.low), float(found.high), known.size)


def auc(pairs: pl.DataFrame, scores: str) -> Float[np.ndarray, " S"]:
    """Area under the ROC curve of each state (`quality.state_auc`); NaN without a relevant or another item."""
    if pairs.is_empty():
        return np.zeros(0)
    row = pairs["state"].rank("dense").to_numpy().astype(np.int64) - 1
    place = pairs.select(place=pl.int_range(pl.len()).over("state"))["place"].to_numpy()
    grid = np.full((int(np.max(row)) + 1, int(np.max(place)) + 1), np.nan)
    relevant = np.zeros(grid.shape, bool)
    grid[row, place], relevant[row, place] = pairs[scores].to_numpy(), pairs["relevant"].to_numpy()
    return state_auc(grid, relevant, ~np.isnan(grid))


def ndcg(pairs: pl.DataFrame, scores: str, k: int = 10) -> Float[np.ndarray, " S"]:
    """Normalised discounted cumulative gain at k of each state; NaN without an item of a grade above 0.

    Järvelin and Kekäläinen 2002, with the grade as gain and log2(1 + rank) as discount. Items of equal score
    share the mean of their gains (McSherry and Najork 2008), as in scikit-learn's `ndcg_score`.
    """
    rank = pl.col(scores).rank("ordinal", descending=True).over("state")
    best = pl.col("grade").rank("ordinal", descending=True).over("state")
    tied = pairs.select("state", "grade", shared=pl.col("grade").mean().over("state", scores),
                        discount=_discount(rank, k), ideal=_discount(best, k))  # fmt: skip
    sums = tied.group_by("state", maintain_order=True).agg(
        (pl.col("shared") * pl.col("discount")).sum().alias("found"),
        (pl.col("grade") * pl.col("ideal")).sum().alias("best"),
    )
    found, highest = sums["found"].to_numpy(), sums["best"].to_numpy()
    return np.divide(found, highest, out=np.full(found.shape, np.nan), where=highest > 0)


def _discount(rank: pl.Expr, k: int) -> pl.Expr:
    return pl.when(rank <= k).then(1 / (1 + rank.cast(pl.Float64)).log(2)).otherwise(0.0)


def spearman(pairs: pl.DataFrame, one: str, other: str) -> Float[np.ndarray, " S"]:
    """Spearman's rank correlation of two columns in each state; NaN where one of them is constant."""
    columns = [pl.col(name).cast(pl.Float64) for name in (one, other)]
    found = pairs.group_by("state", maintain_order=True).agg(rho=pl.corr(*columns, method="spearman"))
    return found["rho"].fill_null(float("nan")).to_numpy()


def partial_spearman(pairs: pl.DataFrame, one: str, other: str, fixed: str) -> Float[np.ndarray, " S"]:
    """Spearman's correlation of two columns in each state with a third held fixed; NaN where one is constant.

    (r12 - r13 r23) / sqrt((1 - r13^2) (1 - r23^2)): Kendall 1942, "Partial rank correlation".
    """
    direct, first, second = (
        spearman(pairs, *names) for names in ((one, other), (one, fixed), (other, fixed))
    )
    spread = np.sqrt(np.maximum(0, (1 - first**2) * (1 - second**2)))
    # What the third column explains wholly leaves nothing to correlate but rounding.
    known = spread > 1e-6
    return np.divide(direct - first * second, spread, out=np.full(spread.shape, np.nan), where=known)


def distinct(pairs: pl.DataFrame, scores: str) -> Float[np.ndarray, " S"]:
    """Number of different scores of each state over the number of its pairs, in (0, 1]."""
    found = pairs.group_by("state", maintain_order=True).agg(share=pl.col(scores).n_unique() / pl.len())
    return found["share"].to_numpy()


def less_item_means(pairs: pl.DataFrame, scores: str) -> pl.DataFrame:
    """The pairs with the column `personal`: the score less the mean score of the same item in all other states.

    Pairs whose item fewer than `SHARED_BY` states were judged on are left out.
    """
    states, total = pl.len().over("item"), pl.col(scores).cast(pl.Float64).sum().over("item")
    personal = pl.col(scores) - (total - pl.col(scores)) / (states - 1)
    return pairs.filter(states >= SHARED_BY).with_columns(personal=personal)
