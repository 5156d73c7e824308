"""Imagined users with several histories: parts of their own logs, and the same ratings whatever is known."""

import jax.numpy as jnp
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from made_logs import EACH, ITEMS, USERS, dataset
from random_worlds import random_world

from ialp_jax.worlds.histories import sampled_histories, with_histories

LOGS = dataset()
OFFLINE = np.arange(0, USERS, 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2 * EACH), st.integers(1, 4), st.integers(0, 3))
def test_a_history_is_a_part_of_the_users_own_log_in_its_order(length, copies, seed):
    items, grades = sampled_histories(LOGS, OFFLINE, length, copies, seed)
    assert items.shape == grades.shape == (len(OFFLINE), copies, length)
    for row, user in enumerate(OFFLINE):
        log = LOGS.interactions.filter(pl.col("user") == user).sort("position")
        place = {
            item: (order, grade)
            for order, (item, grade) in enumerate(log.select("item", "grade").iter_rows())
        }
        for copy in range(copies):
            known = items[row, copy] < ITEMS
            assert known.sum() == min(length, log.height // 2) and (np.diff(known.astype(int)) >= 0).all()
            placed = [place[item] for item in items[row, copy][known].tolist()]
            assert [order for order, _ in placed] == sorted({order for order, _ in placed})
            np.testing.assert_allclose(grades[row, copy][known], [grade for _, grade in placed])
            assert not grades[row, copy][~known].any()


def test_equal_seeds_draw_equal_histories_and_copies_differ():
    first, second, other = (sampled_histories(LOGS, OFFLINE, EACH, 5, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any() and (first[:, 0] != first[:, 1]).any()


def test_every_copy_rates_as_its_user_and_the_first_has_the_users_own_history():
    world = random_world(users=4, items=9, history=3)
    items, grades = np.zeros((4, 2, 3), np.int32), np.ones((4, 2, 3), np.float32)
    several = with_histories(world, items, grades)
    assert several.initial_items.shape == (12, 3) and several.allowed_items.shape[0] == 12
    np.testing.assert_array_equal(several.session_users, np.arange(12))
    np.testing.assert_array_equal(several.initial_items[::3], world.initial_items)
    np.testing.assert_array_equal(several.initial_feedback[::3], world.initial_feedback)
    assert (several.initial_items[1::3] == 0).all() and (several.initial_feedback[2::3] == 1).all()
    for row in range(12):
        user = jnp.int32(row)
        np.testing.assert_array_equal(several.ratings.of_all(user), world.ratings.of_all(jnp.int32(row // 3)))
        assert several.ratings.of(user, jnp.int32(5)) == world.ratings.of(jnp.int32(row // 3), jnp.int32(5))
