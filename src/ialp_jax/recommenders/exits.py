"""How alike two items may be before users leave, by the recommender's own distances: read off recorded sessions.

Whoever records sessions sees what was recommended and after which item a user left. What the users themselves hold
alike is no part of it.
"""

import numpy as np
from jaxtyping import Bool, Float

from ialp_jax.learning.logged import LoggedSessions


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
    """The smallest of the distances from which on at most a share `exit_rate` of the turns ended in an exit.

    Turns nearer than it are those to avoid. Where even the farthest turns ended so too often, the next number above all
    distances; 0 without any turn.
    """
    if not len(distance):
        return 0.0
    order = np.argsort(distance, kind="stable")
    distances, first = np.unique(distance[order], return_index=True)
    exits = np.cumsum(left[order][::-1])[::-1]
    rates = exits[first] / (len(order) - first)
    enough = np.flatnonzero(rates <= exit_rate)
    return float(distances[enough[0]] if len(enough) else np.nextafter(distances[-1], np.inf))
