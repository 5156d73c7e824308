"""Item-based nearest neighbours: how often the same users chose two items.

    s_ij = sum_u r_ui r_uj / (|r_i| |r_j| + shrinkage), only the k nearest neighbours of every item kept

(Sarwar et al. 2001; the shrinkage as in Ferrari Dacrema et al. 2019, arXiv 1907.06902).
"""

from dataclasses import dataclass

import numpy as np
from flax import struct
from jaxtyping import Array, Float

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, offline_interactions, offline_popularity
from ialp_jax.ranges import Count, Weight
from ialp_jax.recommenders.fold_in import rows_or_zero
from ialp_jax.values import checked
from ialp_jax.worlds.types import Observation

MOST_ITEMS = 8_192
"""Largest catalogue; its similarities take 268 MB."""


@dataclass(frozen=True)
@checked
class NeighboursConfig:
    """Similarities of items in the offline users' logs."""

    neighbours: Count = 100
    """Most similar items that are kept of every item."""
    shrinkage: Weight = 10.0
    """Draws the similarity of items with few users towards 0."""


@struct.dataclass
class Neighbours:
    """What the logs say.

    Attributes:
        similarity: row i holds the kept neighbours j of item i; 0 elsewhere and on the diagonal.
        popularity: interactions of every item, as a share of the most popular one's.
    """

    similarity: Float[Array, "N N"]
    popularity: Float[Array, "N"]


def fit_neighbours(dataset: Dataset, config: NeighboursConfig) -> Neighbours:
    """Similarities by the offline users' interactions; their grades where feedback is explicit.

    Raises:
        InputError: if the catalogue is too large for a table of all pairs.
    """
    if dataset.num_items > MOST_ITEMS:
        raise InputError(f"{dataset.num_items} items are too many for a table of all pairs", column="methods",
                         fix=f"use session_knn with at most {MOST_ITEMS} items")  # fmt: skip
    rows = offline_interactions(dataset)
    grades = rows["grade"].to_numpy() if dataset.feedback == "explicit" else np.ones(rows.height)
    chosen = np.zeros((dataset.num_users, dataset.num_items), np.float32)
    chosen[rows["user"].to_numpy(), rows["item"].to_numpy()] = grades
    popularity = offline_popularity(dataset)
    similarity = _nearest(_cosine(chosen, config.shrinkage), config.neighbours)
    return Neighbours(similarity, popularity / max(popularity.max(), 1.0))  # type: ignore[arg-type]


def _cosine(chosen: Float[np.ndarray, "U N"], shrinkage: float) -> Float[np.ndarray, "N N"]:
    norms = np.linalg.norm(chosen, axis=0)
    scale = norms[:, None] * norms[None] + np.float32(shrinkage)
    cosine: np.ndarray = np.divide(chosen.T @ chosen, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(cosine, 0.0)
    return cosine


def _nearest(similarity: Float[np.ndarray, "N N"], most: int) -> Float[np.ndarray, "N N"]:
    """Zero but for the largest entries of every row; all of those that tie with the last one."""
    if most >= len(similarity):
        return similarity
    least = np.partition(similarity, -most, axis=1)[:, -most]
    return np.where(similarity >= least[:, None], similarity, np.float32(0.0))


def neighbour_scores(fit: Neighbours, history: Observation) -> Float[Array, "N"]:
    """Similarity to what one user liked, weighted by how much; a history [H] in which nothing was liked has popularity.

    Popularity also decides between items without any similarity, at a weight that decides nothing else.
    """
    similar = history.feedback @ rows_or_zero(fit.similarity, history.items)
    return similar + 1e-6 * fit.popularity
