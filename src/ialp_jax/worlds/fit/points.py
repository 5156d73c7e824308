"""Items as points whose distance is how differently users rate them; no N x N matrix."""

import numpy as np
from jaxtyping import Float

SAMPLED_PAIRS = 200_000


def column_points(
    users: Float[np.ndarray, "U k"], items: Float[np.ndarray, "N k"]
) -> Float[np.ndarray, "N k"]:
    """Points x_i with ||x_i - x_j|| = ||R_i - R_j|| / sqrt(U) for the columns of R = users items'.

    ||R_i - R_j||^2 = (v_i - v_j)' U'U (v_i - v_j) = ||C (v_i - v_j)||^2 with C'C = U'U; C by eigenvectors,
    which, unlike Cholesky, accept a singular U'U. Centred, which changes no distance and keeps rounding
    small.
    """
    values, directions = np.linalg.eigh(users.T.astype(np.float64) @ users / len(users))
    points = items @ (directions * np.sqrt(np.maximum(values, 0.0)))
    return points - points.mean(axis=0)


def sampled_distances(points: Float[np.ndarray, "N k"], seed: int) -> Float[np.ndarray, "n"]:
    """Distances between two different items, for `SAMPLED_PAIRS` random pairs."""
    count = len(points)
    generator = np.random.default_rng(seed)
    first = generator.integers(0, count, SAMPLED_PAIRS)
    second = (first + generator.integers(1, max(count, 2), SAMPLED_PAIRS)) % count
    return np.linalg.norm(points[first] - points[second], axis=1)
