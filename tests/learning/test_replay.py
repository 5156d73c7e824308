"""The ring of replayed turns, and logged sessions as rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.learning.experience import Experience, joined
from ialp_jax.learning.logged import LoggedSessions, turns_of
from ialp_jax.learning.replay import empty_replay
from ialp_jax.worlds.types import Observation, limits

ITEMS, USERS, WIDTH = 20, 3, 2


def rollout(first, turns, excluded=4, octets=0):
    """Turns [T, B] whose action says when and whose they are: 100 turn + user."""
    action = 100 * (first + jnp.arange(turns))[:, None] + jnp.arange(USERS)[None]
    shape = action.shape
    window = Observation(jnp.broadcast_to(action[..., None], (*shape, WIDTH)), jnp.ones((*shape, WIDTH)))
    ones = jnp.ones(shape)
    lists = limits(jnp.zeros((*shape, excluded), jnp.int32))
    given = lists.replace(alike=jnp.full((*shape, octets), 255, jnp.uint8))
    return Experience(window, given, action, ones, ones, ones > 0, ones > 2, -ones)


def test_the_ring_keeps_the_last_turns_of_every_user():
    replay = empty_replay(rollout(0, 3), 5)
    for first in (0, 3, 6):
        replay = replay.add(rollout(first, 3))
    kept = np.sort(np.asarray(replay.turns.experience.action), axis=1)
    np.testing.assert_array_equal(kept, 100 * np.arange(4, 9) + np.arange(USERS)[:, None])
    np.testing.assert_array_equal(
        replay.turns.experience.window.items[..., 0], replay.turns.experience.action
    )
    assert int(replay.added) == 9


def test_what_is_drawn_was_added_and_every_user_gives_as_many():
    replay = empty_replay(rollout(0, 3), 50).add(rollout(0, 3))  # most of the ring is empty
    rows = replay.sample(jax.random.key(0), 400)
    action = np.asarray(rows.action)
    assert rows.action.shape == (3 * 400,)
    np.testing.assert_array_equal(np.bincount(action % 100), [400] * USERS)
    counts = np.bincount(action // 100)
    assert len(counts) == 3 and np.all(np.abs(counts - 400) < 5 * np.sqrt(400))
    np.testing.assert_array_equal(rows.window.items[:, 0], action)


def test_a_rollout_longer_than_the_ring_is_refused():
    with pytest.raises(ValueError, match="ring of 2 turns cannot hold a rollout of 3"):
        empty_replay(rollout(0, 3), 2)


def test_joined_rows_exclude_what_each_did():
    replay = empty_replay(rollout(0, 2), 4).add(rollout(0, 2))
    wide = empty_replay(rollout(0, 2, excluded=6, octets=3), 4).add(rollout(0, 2, excluded=6, octets=3))
    rows = joined(replay.sample(jax.random.key(0), 1), wide.sample(jax.random.key(1), 1))
    assert rows.limits.excluded.shape == (6, 6) and rows.action.shape == (6,)
    excluded, alike = rows.limits.excluded, rows.limits.alike
    assert np.all(excluded[:3, 4:] > 10**9) and np.all(excluded[3:] == 0)  # no item, and what was given
    assert alike.shape == (6, 3) and np.all(alike[:3] == 0) and np.all(alike[3:] == 255)
    assert rows.limits_after().alike.shape == (6, 0)


def sessions(**options):
    """Two sessions of three and of one turn; the first user left."""
    items = np.full((2, 4, WIDTH), ITEMS, np.int32)
    items[0] = [[7, 8], [8, 1], [1, 2], [2, 3]]
    items[1, 0] = [ITEMS, 9]
    action = np.array([[1, 2, 3, ITEMS], [4, ITEMS, ITEMS, ITEMS]], np.int32)
    length = np.array([3, 1], np.int32)
    grid = jnp.arange(8, dtype=jnp.float32).reshape(2, 4)
    return LoggedSessions(
        Observation(jnp.asarray(items), jnp.ones(items.shape)), jnp.asarray(action), grid, grid / 8, grid >= 0,
        -grid, jnp.asarray(length), jnp.array([True, False]), jnp.asarray(turns_of(length)), **options,
    )  # fmt: skip


def test_rows_are_the_turns_that_are_no_padding():
    logged = sessions()
    np.testing.assert_array_equal(logged.turns, [[0, 0], [0, 1], [0, 2], [1, 0]])
    rows = logged.rows(jnp.arange(4), ITEMS)
    np.testing.assert_array_equal(rows.action, [1, 2, 3, 4])
    np.testing.assert_array_equal(rows.reward, [0, 1, 2, 4])
    np.testing.assert_array_equal(
        rows.terminated, [False, False, True, False]
    )  # the end of a log is no termination
    np.testing.assert_array_equal(rows.log_propensity, [0, -1, -2, -4])


def test_what_was_excluded_is_derived():
    rows = sessions().rows(jnp.arange(4), ITEMS)
    assert [sorted(set(row) - {ITEMS}) for row in np.asarray(rows.limits.excluded).tolist()] == [
        [7, 8],
        [1, 7, 8],
        [1, 2, 7, 8],
        [9],
    ]
    after = np.asarray(rows.limits_after().excluded).tolist()
    assert [sorted(set(row) - {ITEMS}) for row in after] == [[1, 7, 8], [1, 2, 7, 8], [1, 2, 3, 7, 8], [4, 9]]
    assert sessions(masked=False).rows(jnp.arange(4), ITEMS).limits_after().excluded.shape == (4, 0)


def test_the_window_after_a_turn_is_the_next_turns_window():
    logged = sessions()
    rows = logged.rows(jnp.arange(2), ITEMS)
    np.testing.assert_array_equal(
        rows.window_after().items, logged.rows(jnp.array([1, 2]), ITEMS).window.items
    )


def test_every_turn_is_drawn_as_often():
    rows = sessions().sample(jax.random.key(0), 4000, ITEMS)
    counts = np.bincount(rows.action)[1:]
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(1000))
