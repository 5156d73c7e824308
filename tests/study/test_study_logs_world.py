"""The logs' world and the world of both: known ratings, offline users alone, and whose likeness counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from made_tables import tiny_dataset
from random_worlds import random_world

from ialp_jax.data.dataset import histories
from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.worlds.fit.affinity import fold
from ialp_jax.worlds.fit.points import sampled_distances
from ialp_jax.worlds.logs_world import LogsWorldConfig, logs_world, mixed_world
from ialp_jax.worlds.world import DenseRatings, Departure

FACTORS = FactorsConfig(rank=3, iterations=4)


def shuffled(dataset, split):
    """The dataset in which the users of one split touched other items, with other grades."""
    theirs = dataset.users.filter(pl.col("split") == split)["user"].to_list()
    chosen = pl.col("user").is_in(theirs)
    frame = dataset.interactions.with_columns(
        item=pl.when(chosen).then(dataset.num_items - 1 - pl.col("item")).otherwise(pl.col("item")),
        grade=pl.when(chosen).then(1.0 - pl.col("grade")).otherwise(pl.col("grade")).cast(pl.Float32),
    )
    return dataclasses.replace(dataset, interactions=frame)


def made(dataset, **settings):
    categories = np.zeros((dataset.num_items, 1), bool)
    return logs_world(
        dataset,
        offline_factors(dataset, FACTORS),
        LogsWorldConfig(**settings),
        4,
        categories,
        Departure.create(),
    )


def leaves(world):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(world)]


def test_nothing_of_online_users_enters():
    dataset = tiny_dataset()
    plain, online, offline = (
        leaves(made(dataset)),
        *(leaves(made(shuffled(dataset, split))) for split in ("online", "offline")),
    )
    assert all(np.array_equal(one, other) for one, other in zip(plain, online, strict=True))
    assert not all(np.array_equal(one, other) for one, other in zip(plain, offline, strict=True))


def test_ratings_are_grades_by_each_users_own_percentiles():
    dataset = tiny_dataset()
    world = made(dataset)
    users, items = fold(offline_factors(dataset, FACTORS), 1.0)
    ratings = np.asarray(jax.vmap(world.ratings.of_all)(world.session_users))
    ranks = np.argsort(np.argsort(users @ items.T, axis=1), axis=1) / dataset.num_items
    grades = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    expected = grades[np.searchsorted([0.8, 0.9, 0.95, 0.98], ranks, side="right")]
    assert np.mean(ratings == expected) > 0.98  # half a rank of rounding at each of four thresholds
    assert (
        world.session_users.shape[0] == len(users) == np.sum(dataset.users["split"].to_numpy() == "offline")
    )


def test_users_open_with_their_own_history_and_leave_within_the_margin():
    dataset = tiny_dataset()
    world = made(dataset, distance_percentile=10.0, distance_margin=2.0)
    offline = dataset.users.filter(pl.col("split") == "offline")["user"].to_numpy()
    items, feedback, _ = histories(dataset, 4)
    np.testing.assert_array_equal(world.initial_items, items[offline])
    np.testing.assert_array_equal(world.initial_feedback, feedback[offline])
    distances = sampled_distances(np.asarray(world.item_vectors, np.float64), 0)
    expected = 2.0 * np.percentile(distances, 10.0)
    assert float(world.departure.distance_threshold) == pytest.approx(expected, rel=1e-4)


def worlds():
    """A table's world of 3 users, and a logs' world of 6 on another scale."""
    table = random_world(0, users=3).replace(
        ratings=DenseRatings(jnp.asarray(np.random.default_rng(5).random((3, 14)), jnp.float32)),
        rating_low=jnp.float32(0.0), rating_high=jnp.float32(1.0),
    )  # fmt: skip
    return table, random_world(1, width=2)


def test_rewards_are_the_weighted_mean_of_both():
    table, logs = worlds()
    rows, weight = np.array([4, 0, 2]), np.array([1.0, 0.25, 0.0], np.float32)
    mixed = mixed_world(table, logs, rows, weight)
    expected = weight[:, None] * np.asarray(table.ratings.table)
    expected += (1 - weight[:, None]) * (np.asarray(logs.ratings.table)[rows] - 1.0) / 4.0
    np.testing.assert_allclose(mixed.ratings.table, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alike", ["text", "logs", "both"])
def test_items_are_as_alike_as_the_chosen_source_says(alike):
    table, logs = worlds()
    mixed = mixed_world(table, logs, np.zeros(3, int), np.ones(3, np.float32), alike)
    relative = {
        name: np.linalg.norm(vectors[:, None] - vectors[None], axis=-1) / world.departure.distance_threshold
        for name, world in (("text", table), ("logs", logs), ("mixed", mixed))
        for vectors in [np.asarray(world.item_vectors)]
    }
    relative["both"] = np.sqrt((relative["text"] ** 2 + relative["logs"] ** 2) / 2)
    np.testing.assert_allclose(relative["mixed"], relative[alike], rtol=1e-4, atol=1e-6)
