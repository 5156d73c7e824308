"""Ranking user by user: made turns with known shares of rightly ordered pairs, and a slow twin."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ialp_jax.recommenders.agreement import above_own_mean, auc_by_user


def test_shares_of_made_pairs():
    user = np.array([0, 2, 0, 0, 2, 2, 1, 1])
    positive = np.array([True, True, False, False, False, False, True, True])
    scores = np.array([2.0, 1.0, 1.0, 3.0, 1.0, 0.0, 5.0, 4.0])
    found = auc_by_user(scores, positive, user, 4)
    # User 0 orders one of two pairs; user 2 one, and ties the other; user 1 has no other turn and user 3 no turn.
    np.testing.assert_array_equal(found, [0.5, np.nan, 0.75, np.nan])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), max_size=30))
def test_it_is_what_counting_pairs_gives(turns):
    user, scores, positive = (np.array([turn[place] for turn in turns]) for place in range(3))
    user, positive = user.astype(int), positive.astype(bool)
    found = auc_by_user(scores.astype(float), positive, user, 4)
    for one in range(4):
        good, other = scores[(user == one) & positive], scores[(user == one) & ~positive]
        pairs = [(a > b) + 0.5 * (a == b) for a in good for b in other]
        np.testing.assert_allclose(found[one], np.mean(pairs) if pairs else np.nan)


def test_users_are_compared_with_their_own_mean():
    values = np.array([0.1, 0.5, 0.3, 0.7, 0.7, 0.7], np.float32)
    above = above_own_mean(values, np.array([0, 0, 0, 1, 1, 1]))
    assert above.tolist() == [False, True, False, False, False, False]
