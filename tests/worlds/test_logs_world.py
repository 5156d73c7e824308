"""The logs' world: its grades, what it never reads, and the world of table and logs."""

import jax.numpy as jnp
import numpy as np
import pytest
from made_logs import EACH, ITEMS, USERS, dataset

from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.worlds.fit.affinity import fold
from ialp_jax.worlds.logs_world import LogsWorldConfig, logs_world, mixed_world
from ialp_jax.worlds.preference_world import preference_world
from ialp_jax.worlds.world import Departure

OFFLINE = np.arange(0, USERS, 3)
CATEGORIES = np.ones((ITEMS, 1), bool)


def made(logs, **settings):
    factors = offline_factors(logs, FactorsConfig(rank=3, iterations=4))
    config = LogsWorldConfig(**settings)
    return factors, logs_world(logs, factors, config, EACH, CATEGORIES, Departure.create(rating_floor=0.1))


def test_users_are_the_offline_ones_with_their_opening_histories():
    _, world = made(dataset())
    np.testing.assert_array_equal(world.session_users, np.arange(len(OFFLINE)))
    assert world.initial_items.shape == (len(OFFLINE), EACH) and world.num_items == ITEMS


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_nothing_of_the_online_users_is_read(feedback):
    worlds = [made(dataset(feedback, shuffled=split))[1] for split in (None, "online", "offline")]
    same = [np.array_equal(worlds[0].item_vectors, other.item_vectors)
            and np.array_equal(worlds[0].initial_items, other.initial_items)
            and np.array_equal(worlds[0].ratings.users, other.ratings.users) for other in worlds[1:]]  # fmt: skip
    assert same == [True, False]


def test_grades_follow_the_affinities_of_the_logs():
    factors, world = made(dataset())
    users, items = fold(factors, 1.0)
    for row in range(len(OFFLINE)):
        order = np.argsort(users[row] @ items.T)
        grades = np.asarray(world.ratings.of_all(jnp.int32(row)))[order]
        assert (np.diff(grades) >= 0).all() and grades[-1] == 1.0


def test_the_margin_widens_the_distance_at_which_users_leave():
    near, far = (made(dataset(), distance_margin=margin)[1] for margin in (1.0, 2.0))
    assert float(far.departure.distance_threshold) == pytest.approx(
        2 * float(near.departure.distance_threshold)
    )
    assert float(far.departure.rating_floor) == pytest.approx(0.1)


def test_the_world_of_both_pays_by_the_weight_of_every_user():
    _, logs = made(dataset())
    rewards = np.random.default_rng(0).random((2, ITEMS)).astype(np.float32)
    items, feedback = logs.initial_items[:2], logs.initial_feedback[:2]
    table = preference_world(rewards, np.asarray(items), np.asarray(feedback), np.zeros((ITEMS, 2)), CATEGORIES,
                             Departure.create())  # fmt: skip
    mixed = mixed_world(table, logs, np.array([1, 0]), np.array([1.0, 0.25]))
    by_logs = np.asarray(logs.ratings.of_all(jnp.int32(0)))
    np.testing.assert_allclose(mixed.ratings.of_all(jnp.int32(0)), rewards[0])
    np.testing.assert_allclose(
        mixed.ratings.of_all(jnp.int32(1)), 0.25 * rewards[1] + 0.75 * by_logs, atol=1e-6
    )
    np.testing.assert_array_equal(mixed.item_vectors, logs.item_vectors)
