"""How alike a history and an item are by dense vectors of the items."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ialp_jax.preferences.content_vectors import SMALLEST_WEIGHT

PAIRS_AT_ONCE = 8192  # bounds the two blocks of vectors that are multiplied


@dataclass(frozen=True, eq=False)
class DenseSimilarity:
    """Cosine of a history's mean vector, weighted by grade, and an item's.

    Sums are taken pair by pair, so that a pair's number does not depend on which others are asked about (a matrix product may
    round differently with its shape).

    Attributes:
        vectors: Float32[N, D], of length 1, or zero where an item has no text.
    """

    vectors: Float[np.ndarray, "N D"]

    @property
    def num_items(self) -> int:
        """N."""
        return self.vectors.shape[0]

    def __call__(
        self, histories: Int[np.ndarray, "S L"], grades: Float[np.ndarray, "S L"],
        rows: Int[np.ndarray, " P"], items: Int[np.ndarray, " P"],
    ) -> Float[np.ndarray, " P"]:  # fmt: skip
        """Cosine of each pair, Float32 in [-1, 1]; 0 where a history or an item has no vector."""
        profiles = np.stack([self._profile(*one) for one in zip(histories, grades, strict=True)])
        found = np.zeros(rows.size, np.float32)
        for at in range(0, rows.size, PAIRS_AT_ONCE):
            block = slice(at, at + PAIRS_AT_ONCE)
            found[block] = (profiles[rows[block]] * self.vectors[items[block]]).sum(axis=1)
        return np.clip(found, -1.0, 1.0)

    def _profile(
        self, history: Int[np.ndarray, " L"], grades: Float[np.ndarray, " L"]
    ) -> Float[np.ndarray, " D"]:
        """Of one history; id N is padding. A weight is never below `SMALLEST_WEIGHT`."""
        known = history < self.num_items
        weights = np.maximum(grades[known], SMALLEST_WEIGHT).astype(np.float32)
        total = (weights[:, None] * self.vectors[history[known]]).sum(axis=0)
        length = np.sqrt((total * total).sum())
        return total / length if length > 0 else total
