"""The AUC: known answers, scikit-learn's, and what may not change it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.quality.ranking import auc_against, state_auc


def test_known_answers():
    scores = np.array([[0.9, 0.8, 0.1], [0.1, 0.8, 0.9], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])
    relevant = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1]], bool)
    auc = state_auc(scores, relevant, np.ones_like(relevant))
    np.testing.assert_allclose(auc[:3], [1, 0, 0.5])
    assert np.isnan(auc[3])


def test_judged_and_all_pairs_differ_by_the_unjudged():
    scores = np.array([[0.9, 0.2, 0.0, 0.0]])
    judged = np.array([[True, True, False, False]])
    relevant = np.array([[True, False, True, False]])
    found = auc_against(scores, judged, relevant)
    assert (found.judged, found.judged_states) == (1.0, 1)
    # Pairs (0,1), (0,3) are won, (2,1) is lost, (2,3) is tied.
    assert (found.all_pairs, found.all_states) == (2.5 / 4, 1)


def test_no_state_counts():
    nothing = np.zeros((2, 3), bool)
    found = auc_against(np.zeros((2, 3)), nothing, nothing)
    assert np.isnan(found.judged) and found.judged_states == 0
    assert np.isnan(found.all_pairs) and found.all_states == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_scikit_learn_and_skips_nan_and_excluded(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (4, 12)) / 5
    scores[rng.random(scores.shape) < 0.1] = np.nan
    relevant, included = rng.random(scores.shape) < 0.4, rng.random(scores.shape) < 0.8
    auc = state_auc(scores, relevant, included)
    for row in range(4):
        kept = included[row] & ~np.isnan(scores[row])
        if 0 < relevant[row, kept].sum() < kept.sum():
            assert auc[row] == pytest.approx(roc_auc_score(relevant[row, kept], scores[row, kept]))
        else:
            assert np.isnan(auc[row])


def test_shapes_must_agree():
    with pytest.raises(InputError, match="shapes differ"):
        state_auc(np.zeros((2, 3)), np.zeros((2, 4), bool), np.zeros((2, 3), bool))
