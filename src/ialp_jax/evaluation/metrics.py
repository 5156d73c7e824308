"""What sessions were worth: metrics of played sessions, on the host."""

import numpy as np
from jaxtyping import Float, Int


def coverage(items: Int[np.ndarray, "S L"], num_items: int) -> float:
    """Share of the catalogue recommended at least once; the padding item N is no item."""
    return float(np.unique(items[items < num_items]).size / num_items)


def diversity(items: Int[np.ndarray, "S L"], item_vectors: Float[np.ndarray, "N k"]) -> float:
    """Mean pairwise dissimilarity 1 - 1/(1 + D) of the items within a session (EasyRL4Rec's definition).

    Sessions with fewer than two items have no pair and are left out; NaN if none has a pair.
    """
    num_items = item_vectors.shape[0]
    padded = np.vstack([item_vectors, np.zeros((1, item_vectors.shape[1]), item_vectors.dtype)])
    vectors = padded[items]
    norms = np.sum(vectors**2, axis=-1)
    squared = norms[:, :, None] + norms[:, None, :] - 2.0 * np.einsum("slk,smk->slm", vectors, vectors)
    dissimilarity = 1.0 - 1.0 / (1.0 + np.sqrt(np.maximum(squared, 0.0)))
    real = items < num_items
    pairs = real[:, :, None] & real[:, None, :] & ~np.eye(items.shape[1], dtype=bool)
    counts = pairs.sum(axis=(1, 2))
    if not np.any(counts):
        return float("nan")
    sums = np.where(pairs, dissimilarity, 0.0).sum(axis=(1, 2))
    return float(np.mean(sums[counts > 0] / counts[counts > 0]))


def distinct_lists(items: Int[np.ndarray, "S L"], first: int = 5) -> float:
    """Different lists of the first `first` items (in any order) among all sessions, per session, in (0, 1].

    1 where no two sessions begin alike, 1 / S where all do: whether a policy knows whom it serves. To be measured on
    greedy sessions, since chance alone makes lists differ.
    """
    lists = np.sort(items[:, :first], axis=1)
    return float(np.unique(lists, axis=0).shape[0] / lists.shape[0])


def novelty(items: Int[np.ndarray, "S L"], popularity: Float[np.ndarray, "N"]) -> float:
    """Mean of -log2 of the share of users who know a recommended item, in bits.

    Args:
        items: recommended items; the padding item N is left out.
        popularity: share of users with an interaction with each item; 0 counts as one user in a million.
    """
    recommended = items[items < popularity.shape[0]]
    return float(np.mean(-np.log2(np.maximum(popularity[recommended], 1e-6))))
