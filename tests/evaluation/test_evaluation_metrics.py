"""Coverage, diversity, novelty and distinct lists: known answers. N = 4 items; id 4 pads what comes after a session's end."""

import numpy as np
import pytest

from ialp_jax.evaluation.metrics import coverage, distinct_lists, diversity, novelty

SESSIONS = np.array([[0, 1, 4], [1, 4, 4], [0, 1, 2]])


def test_coverage_is_the_share_of_items_ever_recommended():
    assert coverage(SESSIONS, 4) == 0.75
    assert coverage(np.array([[4, 4]]), 4) == 0.0
    assert coverage(np.array([[0, 1], [2, 3]]), 4) == 1.0


def test_diversity_is_the_mean_dissimilarity_of_pairs_within_sessions():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [9.0, 9.0]], np.float32)
    pair = 1 - 1 / (1 + 5)  # distance 5
    three = (pair + pair + 0) / 3  # items 0 and 2 are the same point
    assert diversity(SESSIONS, points) == pytest.approx((pair + three) / 2, rel=1e-6)
    assert diversity(SESSIONS[:1], points) == pytest.approx(pair, rel=1e-6)
    assert np.isnan(diversity(SESSIONS[1:2], points))


def test_diversity_does_not_depend_on_where_the_points_lie():
    points = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert diversity(SESSIONS, points) == pytest.approx(diversity(SESSIONS, points + 30), rel=1e-3)


def test_novelty_is_the_information_of_what_is_recommended():
    known = np.array([0.5, 0.125, 0.0, 1.0])
    assert novelty(np.array([[0, 1, 4], [3, 4, 4]]), known) == pytest.approx((1 + 3 + 0) / 3)
    assert novelty(np.array([[2]]), known) == pytest.approx(-np.log2(1e-6))


def test_distinct_lists_are_counted_by_their_first_items_in_any_order():
    items = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 3], [2, 3, 0]])
    assert distinct_lists(items, 2) == 2 / 4
    assert distinct_lists(items) == 3 / 4
    assert distinct_lists(np.arange(12).reshape(4, 3)) == 1.0
    assert distinct_lists(np.zeros((5, 3), int)) == 1 / 5
