"""How far two preference tables say the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.quality import per_state
from ialp_jax.preferences.quality.per_state import StateMean, state_mean
from ialp_jax.preferences.table import PreferenceTable

TOP = 0.1


@dataclass(frozen=True)
class Agreement:
    """Two tables over the pairs (user, item) that both judged.

    Attributes:
        pairs: that both judged.
        states: users with such pairs.
        spearman: rank correlation of the scores, mean over users.
        difference: mean absolute difference of the scores.
        top: share of one table's highest `TOP` of a user's pairs that is also in the other's, mean over users;
            two unrelated tables have about `TOP`. Equal scores rank by item id.
    """

    pairs: int
    states: int
    spearman: StateMean
    difference: float
    top: StateMean


def agreement(a: Path, b: Path) -> Agreement:
    """Compares two finished tables of the same logs.

    Raises:
        InputError: if one is not finished, they are of different logs, or they share no pair.
    """
    one, other = PreferenceTable.load(a), PreferenceTable.load(b)
    if one.dataset != other.dataset:
        raise InputError(f"the table is of other logs than {a}", file=b, column="dataset",
                         fix="compare tables of the same logs")  # fmt: skip
    both = _scores(one).join(_scores(other), on=["state", "item"], suffix="_b").sort("state", "item")
    if both.is_empty():
        raise InputError(f"no pair of a user and an item was judged here and in {a}", file=b,
                         fix="compare tables that were planned with the same users and candidates")  # fmt: skip
    difference = (both["score"] - both["score_b"]).abs().cast(pl.Float64).mean()
    rho = state_mean(per_state.spearman(both, "score", "score_b"))
    return Agreement(both.height, both["state"].n_unique(), rho, float(difference), state_mean(_top(both)))  # type: ignore[arg-type]


def _scores(table: PreferenceTable) -> pl.DataFrame:
    """Scores with the user's id for a state."""
    return pl.DataFrame({"state": table.users[table.state], "item": table.item, "score": table.score})


def _top(both: pl.DataFrame) -> np.ndarray:
    size = (TOP * pl.len()).ceil().over("state")
    ranks = [pl.col(name).rank("ordinal", descending=True).over("state") for name in ("score", "score_b")]
    shared = (ranks[0] <= size) & (ranks[1] <= size)
    marked = both.select("state", share=shared / size)
    return marked.group_by("state", maintain_order=True).agg(pl.col("share").sum())["share"].to_numpy()
