"""How well scores rank what each recorded user did, user by user."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata


def auc_by_user(
    scores: Float[np.ndarray, "R"], positive: Bool[np.ndarray, "R"], user: Int[np.ndarray, "R"], users: int
) -> Float[np.ndarray, "U"]:
    """Of every user the share of pairs of a positive and another turn of theirs that the scores order rightly; ties count half.

    Mann-Whitney, as it is for one user: (sum of the positive turns' mean ranks - p (p + 1) / 2) / (p q).

    Args:
        scores: of every turn; finite.
        positive: which turns should have the higher ones.
        user: of every turn, 0 to U - 1.
        users: U.

    Returns:
        NaN of a user without a positive or without another turn.
    """
    areas = np.full(users, np.nan)
    order = np.argsort(user, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(user[order])) + 1):
        good = positive[rows]
        count, others = int(good.sum()), int((~good).sum())
        if count and others:
            wins = rankdata(scores[rows])[good].sum() - count * (count + 1) / 2
            areas[user[rows[0]]] = wins / (count * others)
    return areas


def above_own_mean(values: Float[np.ndarray, "R"], user: Int[np.ndarray, "R"]) -> Bool[np.ndarray, "R"]:
    """Which of a user's turns were answered better than theirs are on average."""
    counts = np.maximum(np.bincount(user), 1)
    means = np.bincount(user, values) / counts
    return values > means[user] + ROUNDING


ROUNDING = 1e-6  # of the mean of equal answers in float32
