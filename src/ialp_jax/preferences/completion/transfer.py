"""What the table says about users it has no row for: the mean of the most similar judged states."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from ialp_jax.preferences.content_vectors import history_profiles, similarities
from ialp_jax.preferences.states import UserStates


def transfer_scores(
    scores: Float[np.ndarray, "S N"],
    judged: UserStates,
    new: UserStates,
    vectors: sp.csr_matrix,
    neighbours: int = 20,
) -> Float[np.ndarray, "M N"]:
    """Scores of new users: similarity-weighted mean over the nearest judged states' scores.

    Args:
        scores: of the judged states, in [0, 1].
        judged: the judged states.
        new: states of users without a row in the table.
        vectors: TF-IDF rows of the items' texts (`content_vectors.tfidf`).
        neighbours: how many states are averaged; all if there are fewer.
    """
    known = history_profiles(vectors, judged.items, judged.grades)
    closeness = similarities(history_profiles(vectors, new.items, new.grades), known)
    neighbours = min(neighbours, closeness.shape[1])
    nearest = np.argpartition(-closeness, neighbours - 1, axis=1)[:, :neighbours]
    weights = np.take_along_axis(closeness, nearest, axis=1) + 1e-6  # a history without words: plain mean
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(nearest.shape[0]), neighbours)
    mixing = sp.csr_matrix((weights.ravel(), (rows, nearest.ravel())), shape=closeness.shape)
    return (mixing @ scores).astype(np.float32)
