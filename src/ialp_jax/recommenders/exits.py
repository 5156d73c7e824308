"""How alike two items may be before users leave, by the recommender's own distances: read off recorded sessions.

Whoever records sessions sees what was recommended and after which item a user left. What the users themselves hold
alike is no part of it.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import isotonic_regression

from ialp_jax.learning.logged import LoggedSessions

# Nearer turns must end this many times as often for exits to go with likeness. At 70 % of all pairs
# it is 12 and more with a hundred logs of users who leave by likeness, and 2.3 on Coat, whose users leave by something else;
# with thirty logs of Steam it is 2.7: too few to tell.
CLEARLY = 3.0
Z = 1.96  # of a normal interval of 95 %
ROUNDING = 1e-12  # of a mean of numbers that are 0 or 1


def nearest_recent(
    logged: LoggedSessions, points: Float[np.ndarray, "N k"], window: int
) -> tuple[Float[np.ndarray, "R"], Bool[np.ndarray, "R"]]:
    """Of every recorded turn that has one before it, in order.

    Args:
        logged: recorded sessions.
        points: items as points.
        window: how many of the last recommended items count, at least 1.

    Returns:
        Distance of the recommended item to the nearest of the last `window` recommended ones; whether the user left.
    """
    action, length = np.asarray(logged.action), np.asarray(logged.length)
    session, turn = np.asarray(logged.turns).T
    nearest = np.full(len(session), np.inf)
    for lag in range(1, window + 1):
        rows = np.flatnonzero(turn >= lag)
        at, when = session[rows], turn[rows]
        apart = np.linalg.norm(points[action[at, when]] - points[action[at, when - lag]], axis=1)
        nearest[rows] = np.minimum(nearest[rows], apart)
    left = np.asarray(logged.terminated)[session] & (turn == length[session] - 1)
    return nearest[turn > 0], left[turn > 0]


def exit_threshold(distance: Float[np.ndarray, "n"], left: Bool[np.ndarray, "n"], exit_rate: float) -> float:
    """The smallest of the distances from which on a turn ends in an exit with a chance of at most `exit_rate`.

    The chance never grows with the distance: isotonic regression (Barlow et al. 1972). A mean over all farther turns would
    say too little of those just beyond the threshold, where a policy that knows its users recommends.

    Turns nearer than it are those to avoid. Where even the farthest turns ended so too often, the next number above all
    distances; 0 without any turn.
    """
    if not len(distance):
        return 0.0
    distances, place, turns = np.unique(distance, return_inverse=True, return_counts=True)
    rates = np.bincount(place, left) / turns
    chance = isotonic_regression(rates, weights=turns, increasing=False).x
    enough = np.flatnonzero(chance <= exit_rate + ROUNDING)
    return float(distances[enough[0]] if len(enough) else np.nextafter(distances[-1], np.inf))


def exits_go_with_likeness(
    distance: Float[np.ndarray, "n"], left: Bool[np.ndarray, "n"], threshold: float
) -> bool:
    """Whether turns nearer than a distance ended in exits clearly more often than the others; False without either."""
    near = distance < threshold
    if near.all() or not near.any():
        return False
    return bool(left[near].any() and left[near].mean() >= CLEARLY * left[~near].mean())


def exit_ratio(
    distance: Float[np.ndarray, "n"], left: Bool[np.ndarray, "n"], threshold: float
) -> tuple[float, float]:
    """How many times as often turns nearer than a distance end in exits as the others: the 95 % interval of the ratio.

    Katz et al. (1978), the logarithm of the ratio of two shares, with half a count added to each so that no share is 0
    (Walter 1975). From 0 to infinity where no turn is near or none is far.
    """
    near = distance < threshold
    if near.all() or not near.any():
        return 0.0, np.inf
    counts = np.array([[left[part].sum() + 0.5, part.sum() + 0.5] for part in (near, ~near)])
    ratio = np.log(counts[0, 0] / counts[0, 1]) - np.log(counts[1, 0] / counts[1, 1])
    spread = np.sqrt(np.sum(1.0 / counts[:, 0] - 1.0 / counts[:, 1]))
    return float(np.exp(ratio - Z * spread)), float(np.exp(ratio + Z * spread))
