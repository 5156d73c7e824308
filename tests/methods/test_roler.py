"""Reward shaping by nearest records: the mean and the distance of neighbours, what they pay, and that they are what is learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import random_offline_factors
from small_optima import HISTORIES, ITEMS, NETWORK, OPTIMUM, PAYS, logged_in, scene, world_of
from tiny_runs import probe_world, tiny_network, tiny_scene

from ialp_jax.methods.base import Data
from ialp_jax.methods.named.roler import ShapedLearner, ShapingHyper, shaped_feedback, shaped_rewards
from ialp_jax.recommenders.calibration import answers
from ialp_jax.recommenders.records import (
    Nearest,
    Records,
    RecordsConfig,
    directions,
    nearest_records,
    records_of,
)
from ialp_jax.serving.play import play
from ialp_jax.serving.sessions import Transition
from ialp_jax.worlds.types import limits

pytestmark = pytest.mark.usefixtures("batched_keys")
FACTORS = random_offline_factors(ITEMS, 3)
PLACES = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])
"""Directions of four recorded users."""


def nearest_of(items, feedback, taste, wanted, catalogue=3, **config):
    """What the nearest records of one item say of one user; each user recorded one item."""
    start = np.searchsorted(items, np.arange(catalogue + 1))
    records = Records(
        jnp.asarray(PLACES[: len(items)], jnp.float32), jnp.asarray(feedback), jnp.asarray(start, jnp.int32)
    )
    queries = directions(jnp.asarray([taste], jnp.float32)), jnp.asarray([wanted])
    return jax.tree.map(lambda leaf: leaf[0], nearest_records(records, *queries, RecordsConfig(**config)))


def test_one_neighbour_at_distance_zero_says_what_was_recorded():
    """Whatever the length of the taste; orthogonal tastes are a half apart, opposite ones 1."""
    nearest = nearest_of([0, 0, 0], [0.3, 0.9, 0.6], [0.0, 5.0], 0, neighbours=1)
    assert (float(nearest.feedback), float(nearest.distance), int(nearest.count)) == (
        pytest.approx(0.9),
        0.0,
        1,
    )
    assert float(shaped_feedback(nearest, jnp.float32(0.0), 7.0)) == pytest.approx(0.9)
    for taste, distance in (([1.0, 0.0], 0.0), ([0.0, 1.0], 0.5), ([-1.0, 0.0], 1.0), ([0.0, 0.0], 0.5)):
        nearest = nearest_of([0, 1, 1], [0.3, 0.0, 0.0], taste, 0)
        assert float(nearest.distance) == pytest.approx(distance) and float(
            nearest.feedback
        ) == pytest.approx(0.3)


def test_without_a_penalty_it_is_the_mean_of_the_nearest_and_where_nobody_answered_the_worlds_own():
    items, feedback = [0, 0, 0, 0], [0.2, 0.8, 1.0, 0.4]
    nearest = nearest_of(items, feedback, [1.0, 0.0], 0, neighbours=2)  # the first at 0 and the fourth at .2
    assert float(shaped_feedback(nearest, jnp.float32(0.9), 0.0)) == pytest.approx(0.3)
    assert float(shaped_feedback(nearest, jnp.float32(0.9), 0.5)) == pytest.approx(0.3 - 0.5 * 0.1)
    nobody = nearest_of(items, feedback, [1.0, 0.0], 2)
    assert int(nobody.count) == 0 and float(nobody.distance) == 1.0
    assert float(shaped_feedback(nobody, jnp.float32(0.9), 0.0)) == pytest.approx(0.9)
    assert float(shaped_feedback(nobody, jnp.float32(0.9), 0.5)) == pytest.approx(0.4)


@pytest.mark.parametrize("neighbours, looked", [(1, 50), (4, 50), (4, 6), (4, 2)])
def test_neighbours_are_those_of_a_numpy_twin(neighbours, looked):
    """Items have none, some, fewer than k and more records than are looked through."""
    generator = np.random.default_rng(0)
    counts = np.array([0, 1, 3, 20, 9, 0])
    items = np.repeat(np.arange(6), counts)
    tastes = generator.normal(size=(33, 5)).astype(np.float32)
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    feedback = generator.random(33).astype(np.float32)
    users = generator.normal(size=(12, 5)).astype(np.float32)
    wanted = np.arange(12) % 6
    start = np.searchsorted(items, np.arange(7)).astype(np.int32)
    records = Records(jnp.asarray(tastes), jnp.asarray(feedback), jnp.asarray(start))
    config = RecordsConfig(neighbours=neighbours, looked=looked)
    said = nearest_records(records, directions(jnp.asarray(users)), jnp.asarray(wanted), config)
    for place, (user, item) in enumerate(zip(users, wanted, strict=True)):
        theirs = np.flatnonzero(items == item)[:looked]
        distance = (1 - tastes[theirs] @ user / np.linalg.norm(user)) / 2
        chosen = np.argsort(distance)[:neighbours]
        assert int(said.count[place]) == len(chosen)
        mean, far = (feedback[theirs[chosen]].mean(), distance[chosen].mean()) if len(chosen) else (0.0, 1.0)
        assert float(said.feedback[place]) == pytest.approx(mean, abs=1e-6)
        assert float(said.distance[place]) == pytest.approx(far, abs=1e-5)


def test_records_are_all_logged_turns_by_item():
    logged = logged_in(world_of("by the history"), sessions=9)
    records, given = records_of(FACTORS, logged), answers(FACTORS, logged)
    taste, item, feedback = map(np.asarray, (given.taste, given.item, given.feedback))
    assert records.start[0] == 0 and records.start[-1] == len(item) == 36
    for one in range(ITEMS):
        places = slice(int(records.start[one]), int(records.start[one + 1]))
        np.testing.assert_array_equal(records.feedback[places], feedback[item == one])
        lengths = np.linalg.norm(taste[item == one], axis=1, keepdims=True)
        np.testing.assert_allclose(records.direction[places], taste[item == one] / lengths, atol=1e-6)


@pytest.mark.parametrize("pays_leavers, expected", [(True, [0.6, 0.2]), (False, [0.6, 0.0])])
def test_shaped_rewards_have_the_unit_of_the_worlds_rewards(pays_leavers, expected):
    """Ratings from 1 to 5: feedback .5 is 3, which is .6 of the highest. Who leaves may pay nothing."""
    world = probe_world(np.ones((1, 3)), [[3]]).replace(
        rating_low=jnp.float32(1.0), rating_high=jnp.float32(5.0)
    )
    nearest = Nearest(jnp.array([[0.75, 0.25]]), jnp.array([[0.5, 0.5]]), jnp.array([[2, 2]]))
    nothing, none = jnp.zeros((1, 2)), jnp.zeros((1, 2), jnp.int32)
    turns = Transition((), (), limits(none[..., None]), none, nothing, nothing, none == 0, jnp.array([[False, True]]),
                       none == 1, ())  # fmt: skip
    rewards = shaped_rewards(nearest, turns, world, 0.5, pays_leavers)
    np.testing.assert_allclose(rewards, [expected], atol=1e-6)


def test_what_is_learnt_is_what_was_recorded_not_what_is_imagined():
    """The imagined world pays other items than recorded users liked: greedily it comes near what these would pay."""
    name = "the same for everybody"
    truth, logged = world_of(name), logged_in(world_of(name), sessions=200)
    imagined = probe_world([1.0 - pays for pays in PAYS[name]], HISTORIES)
    learner, hyper = ShapedLearner(scene(150), RecordsConfig()), ShapingHyper(learning_rate=5e-3)
    data = Data(world=imagined, logged=logged, fitted=FACTORS)

    @jax.jit
    def earned(key):
        start_key, run_key, play_key = jax.random.split(key, 3)
        run = learner.init(run_key, hyper, data, (NETWORK.init(start_key, 2),))
        run, metrics = jax.lax.scan(
            lambda run, _: learner.update(run, hyper, data), run, None, length=learner.updates
        )
        actor = learner.actor(run, hyper, data.hidden(), True)
        played = play(play_key, actor, learner.scene.simulator, truth, 100)
        return jnp.sum(played.rewards) / jnp.sum(played.length.astype(jnp.float32)), metrics

    reward, metrics = jax.vmap(earned)(jax.random.split(jax.random.key(0), 2))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
    assert not np.any(metrics["unrecorded"]) and np.all(
        metrics["distance"] < 1e-3
    )  # two users, both recorded


def test_an_update_with_a_hundred_thousand_items_takes_less_than_two_gigabytes():
    """By what its compiled program holds; nothing is run."""
    network = tiny_network(100_000, width=32, block_rows=256)
    learner = ShapedLearner(tiny_scene(network, users=64, rollout=16), RecordsConfig())
    shapes = jax.eval_shape(lambda: (random_like(100_000), network.init(jax.random.key(0), 2)))
    data, start = (
        Data(world=world_of("by the history"), logged=logged_in(world_of("by the history"), 20)),
        shapes[1],
    )
    run = jax.eval_shape(
        lambda key, start, factors: learner.init(key, ShapingHyper(), data.replace(fitted=factors), (start,)),
        jax.random.key(0), start, shapes[0],
    )  # fmt: skip
    update = jax.jit(lambda run, factors: learner.update(run, ShapingHyper(), data.replace(fitted=factors)))
    needed = update.lower(run, shapes[0]).compile().memory_analysis()
    assert needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes < 2e9


def random_like(items):
    """Factors of so many items."""
    return FACTORS.replace(item=jnp.zeros((items, 3)), offset=jnp.zeros(items))
