"""From factors to affinities: biases folded in, popularity scaled, cut into grades."""

import numpy as np
from jaxtyping import Float

from ialp_jax.worlds.fit.factorisation import Factors

ROWS = 256  # users whose affinities over the catalogue are in memory together


def fold(
    factors: Factors, popularity_weight: float
) -> tuple[Float[np.ndarray, "U k"], Float[np.ndarray, "N k"]]:
    """Folds mean and biases into factors, after scaling the item means' part.

    The user factors are centred and what their centre contributed goes to the item part, so that the item
    part is the items' means; only its deviation from its own mean is scaled.
    """
    user, item = np.asarray(factors.user, np.float64), np.asarray(factors.item, np.float64)
    centre = user.mean(axis=0)
    item_part = np.asarray(factors.item_bias, np.float64) + item @ centre
    item_part = item_part.mean() + popularity_weight * (item_part - item_part.mean())
    user_part = np.asarray(factors.user_bias, np.float64) + float(factors.mean)
    users = np.column_stack([user - centre, user_part, np.ones(len(user))])
    items = np.column_stack([item, np.ones(len(item)), item_part])
    return users.astype(np.float32), items.astype(np.float32)


def grade_thresholds(
    users: Float[np.ndarray, "U k"], items: Float[np.ndarray, "N k"], percentiles: tuple[float, ...]
) -> Float[np.ndarray, "U G"]:
    """Each user's affinity at the percentiles of the catalogue, midway between two neighbouring items.

    Midway, so that no item sits on a threshold, where rounding would decide its grade.
    """
    last = len(items) - 1
    below = np.clip(np.round(np.asarray(percentiles) / 100 * len(items)).astype(int) - 1, 0, max(last - 1, 0))
    thresholds = []
    for start in range(0, len(users), ROWS):
        affinities = np.sort(users[start : start + ROWS] @ items.T, axis=1)
        thresholds.append((affinities[:, below] + affinities[:, np.minimum(below + 1, last)]) / 2)
    return np.concatenate(thresholds)
