"""How well scores rank: the area under the ROC curve of every state, and its mean."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from ialp_jax.artifacts import InputError


@dataclass(frozen=True)
class Ranking:
    """Mean AUC over the states that have both relevant and other items; NaN where no state has.

    Attributes:
        judged: over judged pairs only.
        judged_states: states that count in `judged`.
        all_pairs: over all pairs, with the scores as given for unjudged ones.
        all_states: states that count in `all_pairs`.
    """

    judged: float
    judged_states: int
    all_pairs: float
    all_states: int


def state_auc(
    scores: Float[np.ndarray, "S N"], relevant: Bool[np.ndarray, "S N"], included: Bool[np.ndarray, "S N"]
) -> Float[np.ndarray, " S"]:
    """AUC of each state: the probability that a relevant item outranks another, ties counting half.

    Mann-Whitney: (sum of the relevant items' mean ranks - p (p + 1) / 2) / (p q), p relevant and q others.
    Pairs not included, or with a NaN score, are left out; a state without a relevant or without another item
    gives NaN.
    """
    if not scores.shape == relevant.shape == included.shape:
        shapes = f"scores {scores.shape}, relevant {relevant.shape}, included {included.shape}"
        raise InputError(f"shapes differ: {shapes}",
                         fix="give three arrays over the same states and items")  # fmt: skip
    included = included & ~np.isnan(scores)
    relevant = relevant & included
    # Left-out pairs go above everything, where they do not change the ranks that are read.
    ranks = rankdata(np.where(included, scores, np.inf), axis=1)
    positives = relevant.sum(axis=1)
    pairs = positives * (included.sum(axis=1) - positives)
    wins = np.where(relevant, ranks, 0).sum(axis=1) - positives * (positives + 1) / 2
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def auc_against(
    scores: Float[np.ndarray, "S N"], judged: Bool[np.ndarray, "S N"], relevant: Bool[np.ndarray, "S N"]
) -> Ranking:
    """Mean per-state AUC of a table's scores, over judged pairs and over all pairs."""
    over_judged = state_auc(scores, relevant, judged)
    over_all = state_auc(scores, relevant, np.ones_like(judged))
    return Ranking(*_mean(over_judged), *_mean(over_all))


def _mean(values: Float[np.ndarray, " S"]) -> tuple[float, int]:
    known = values[~np.isnan(values)]
    return (float(known.mean()), known.size) if known.size else (float("nan"), 0)
