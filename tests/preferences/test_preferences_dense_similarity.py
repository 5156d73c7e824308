"""Cosines of dense vectors: known answers, and that no pair's number depends on the others."""

import numpy as np
import pytest

from ialp_jax.preferences.content_vectors import SMALLEST_WEIGHT
from ialp_jax.preferences.dense_similarity import DenseSimilarity


def test_a_history_is_the_mean_of_its_items_weighted_by_grade():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float32)
    similarity = DenseSimilarity(vectors)
    histories = np.array([[4, 0, 1], [4, 4, 4], [4, 4, 2], [4, 4, 3]])  # 4 is padding
    grades = np.array([[0, 0.5, 1.0], [0, 0, 0], [0, 0, 0.7], [0, 0, 0.5]], np.float32)
    pairs = (np.array([0, 0, 1, 2, 2, 3]), np.array([0, 2, 0, 2, 3, 0]))
    length = np.hypot(0.5, 1.0)
    expected = [0.5 / length, (0.5 * 0.6 + 0.8) / length, 0, 1, 0, 0]
    np.testing.assert_allclose(similarity(histories, grades, *pairs), expected, atol=1e-6)
    assert similarity.num_items == 4


def test_a_disliked_item_still_counts_a_little():
    similarity = DenseSimilarity(np.eye(2, dtype=np.float32))
    (found,) = similarity(
        np.array([[0, 1]]), np.array([[1.0, 0.0]], np.float32), np.array([0]), np.array([1])
    )
    assert found == pytest.approx(SMALLEST_WEIGHT / np.hypot(1, SMALLEST_WEIGHT))


@pytest.mark.parametrize("width", [3, 384, 385])
def test_a_pairs_bits_do_not_depend_on_the_others(width):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = DenseSimilarity(vectors)
    histories, grades = rng.integers(0, 51, (9, 6)), rng.random((9, 6), np.float32)
    rows, items = np.repeat(np.arange(9), 50), np.tile(np.arange(50), 9)
    together = similarity(histories, grades, rows, items)
    for place in rng.integers(0, rows.size, 40):
        row = rows[place : place + 1]
        alone = similarity(histories[row], grades[row], np.array([0]), items[place : place + 1])
        assert alone[0] == together[place]
    reference = (vectors[items].astype(float) * profiles(vectors, histories, grades)[rows]).sum(1)
    np.testing.assert_allclose(together, reference, atol=1e-6)


def profiles(vectors, histories, grades):
    """The same in float64."""
    known = histories < len(vectors)
    weights = np.maximum(grades, SMALLEST_WEIGHT) * known
    padded = np.concatenate([vectors, np.zeros((1, vectors.shape[1]))])
    total = (weights[..., None] * padded[histories]).sum(1)
    return total / np.linalg.norm(total, axis=1, keepdims=True)
