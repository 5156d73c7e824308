"""Candidates and the text they are chosen by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.candidates import CandidateConfig, choose_candidates
from ialp_jax.preferences.content_vectors import history_profiles, similarities, text_vectors, tfidf
from ialp_jax.preferences.states import UserStates, interaction_matrix, user_states

TEXTS = ["red apple", "red pear", "blue car", "blue bus", "green frog", ""]
VECTORS = tfidf(TEXTS)
POPULARITY = np.array([0, 1, 2, 3, 9, 8])


def _state(user: int, history: list[int]) -> UserStates:
    items = np.array([[len(TEXTS)] * (3 - len(history)) + history], np.int32)
    return UserStates(np.array([user], np.int32), items, (items < len(TEXTS)).astype(np.float32))


def test_known_mix_of_similar_then_popular():
    config = CandidateConfig(similar=1, popular=2, random=0)
    # Like the apple: the pear; then most popular: the frog and the empty text.
    np.testing.assert_array_equal(choose_candidates(_state(0, [0]), VECTORS, POPULARITY, config), [[1, 4, 5]])


def test_a_small_catalogue_gives_everything_but_the_history():
    found = choose_candidates(_state(0, [2, 4]), VECTORS, POPULARITY, CandidateConfig())
    np.testing.assert_array_equal(found, [[0, 1, 3, 5, 6, 6]])


def test_random_candidates_follow_seed_and_user_and_are_uniform():
    config = CandidateConfig(similar=0, popular=0, random=1, seed=3)
    states = UserStates(np.arange(3000, dtype=np.int32), np.full((3000, 1), 6, np.int32), np.zeros((3000, 1)))
    found = choose_candidates(states, VECTORS, POPULARITY, config)[:, 0]
    assert np.abs(np.bincount(found, minlength=6) / 3000 - 1 / 6).max() < 0.03
    other = choose_candidates(states, VECTORS, POPULARITY, CandidateConfig(0, 0, 1, seed=4))[:, 0]
    assert 0.1 < np.mean(found == other) < 0.25


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 4), st.integers(1, 4))
def test_distinct_new_right_count_and_independent_of_the_batch(seed, similar, popular, random):
    rng = np.random.default_rng(seed)
    vectors = tfidf([" ".join(rng.choice(list("abcdef"), 3)) for _ in range(15)])
    popularity = rng.integers(0, 5, 15)
    items = np.array([rng.permutation(15)[:4] for _ in range(6)], np.int32)
    items[2, :3] = 15
    states = UserStates(np.arange(6, dtype=np.int32), items, rng.random((6, 4)).astype(np.float32))
    config = CandidateConfig(similar, popular, random, seed=seed)
    found = choose_candidates(states, vectors, popularity, config)
    for row in range(6):
        chosen = found[row][found[row] < 15].tolist()
        assert len(set(chosen)) == len(chosen) and not set(chosen) & set(items[row].tolist())
        assert len(chosen) == min(similar + popular + random, 15 - np.sum(items[row] < 15))
        alone = UserStates(states.users[row : row + 1], items[row : row + 1], states.grades[row : row + 1])
        np.testing.assert_array_equal(choose_candidates(alone, vectors, popularity, config)[0], found[row])


def test_counts_are_checked():
    with pytest.raises(InputError, match="similar"):
        CandidateConfig(similar=-1)
    with pytest.raises(InputError, match="no candidates"):
        CandidateConfig(0, 0, 0)


def test_similarity_known_answers():
    histories = np.array([[6, 0], [6, 5], [6, 6]])
    profiles = history_profiles(VECTORS, histories, (histories < 6).astype(float))
    alike = similarities(profiles, VECTORS)
    assert alike[0, 0] == pytest.approx(1)
    assert 0 < alike[0, 1] < 1 and not alike[0, 2:].any()
    assert not alike[1:].any()


def test_grades_weigh_the_profile():
    alike = similarities(history_profiles(VECTORS, np.array([[0, 2]]), np.array([[1.0, 0.2]])), VECTORS)
    assert alike[0, 1] > alike[0, 3] > 0


def test_text_vectors_are_unit_rows_padded_and_seeded():
    vectors = text_vectors(TEXTS, 32, seed=0)
    assert vectors.shape == (6, 32) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 1, 0], atol=1e-5)
    assert not vectors[:, 6:].any()
    assert vectors[0] @ vectors[1] > 0.3 > abs(vectors[0] @ vectors[2])
    np.testing.assert_array_equal(vectors, text_vectors(TEXTS, 32, seed=0))


@pytest.mark.parametrize("texts", [["", ""], ["one"], ["?!", "..."]])
def test_text_vectors_of_almost_nothing(texts):
    vectors = text_vectors(texts, 4, seed=0)
    assert vectors.shape == (len(texts), 4) and np.isfinite(vectors).all()


def test_states_hold_one_splits_histories(make_dataset):
    dataset = make_dataset()
    states = user_states(dataset)
    assert states.users.tolist() == list(range(16)) and states.items.shape == (16, 4)
    history = interaction_matrix(dataset, states.users, "history")
    held_out = interaction_matrix(dataset, states.users, "held_out")
    assert history[np.arange(16)[:, None], states.items].all() and not (history & held_out).any()
    assert user_states(dataset, "online").users.tolist() == list(range(16, 24))
