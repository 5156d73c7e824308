"""Imagined users who are asked about items that nobody recommends to them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world
from test_feedback import ITEMS, NETWORK, PARAMS, trained
from tiny_runs import observations, probe_world

from ialp_jax.methods import get, names
from ialp_jax.methods.learners.asking import ask, asking_actor
from ialp_jax.methods.learners.feedback import Answered, feedback_loss
from ialp_jax.methods.needs import Need
from ialp_jax.policies.actor import Asked, policy_actor
from ialp_jax.policies.memory import opened
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.stages import stages_of
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

POLICY = policy_actor(NETWORK, PARAMS)


def asked_at_the_start(users, count):
    """World, states and situations of sessions that open, and the decisions of the policy that asks in them."""
    world = random_world(users=4, items=ITEMS, history=4)
    reset = jax.vmap(Simulator(SimulatorConfig()).reset, (0, None))
    state, now = reset(jax.random.split(jax.random.key(0), users), world)
    recall = POLICY.begin(now.observation)
    decided = asking_actor(POLICY, count).act(jax.random.key(1), recall, state, now, world)
    return world, state, now, *decided


def test_answers_are_those_of_the_world_to_items_of_the_whole_catalogue():
    world, state, *_, decision = asked_at_the_start(users=300, count=7)
    assert decision.asked.item.shape == decision.asked.feedback.shape == (300, 7)
    table = jax.vmap(world.ratings.of_all)(state.user)
    expected = world.feedback(jnp.take_along_axis(table, decision.asked.item, axis=1))
    np.testing.assert_allclose(decision.asked.feedback, expected, rtol=1e-6)
    counts = np.bincount(np.asarray(decision.asked.item).ravel(), minlength=ITEMS)
    mean = 300 * 7 / ITEMS
    assert (np.abs(counts - mean) < 5 * np.sqrt(mean)).all()


def test_what_is_recommended_is_what_the_policy_would_recommend():
    *_, now, item, decision = asked_at_the_start(users=50, count=3)
    key = jax.random.split(jax.random.key(1))[0]
    expected, plain = POLICY.act(key, POLICY.begin(now.observation), now)
    np.testing.assert_array_equal(item, expected)
    jax.tree.map(np.testing.assert_array_equal, decision.statistics, plain.statistics)


def test_the_loss_adds_half_the_mean_squared_error_of_what_was_asked():
    known = observations([[ITEMS, 2, 7, 1], [1, 2, 3, 4]], [[0.0, 0.5, 1.0, 0.25], [0.0, 0.2, 0.9, 1.0]])
    memory = jax.vmap(lambda one: opened(one, 20, ITEMS))(known)
    action, feedback = jnp.array([3, 9]), jnp.array([1.0, 0.25])
    items, answers = jnp.array([[0, 5, 5], [13, 2, 8]]), jnp.array([[0.1, 0.2, 0.3], [0.9, 0.5, 0.0]])
    scores = (
        NETWORK.query(PARAMS, NETWORK.begin(PARAMS, known).features) @ PARAMS["items"].T
        + PARAMS["bias"][None]
    )
    errors = np.take_along_axis(np.asarray(scores), np.asarray(items), axis=1) - np.asarray(answers)
    plain, both = (
        feedback_loss(NETWORK, PARAMS, Answered(memory, action, feedback, asked))
        for asked in (None, Asked(items, answers))
    )
    np.testing.assert_allclose(both - plain, 0.5 * np.mean(errors**2), rtol=1e-4)


def test_where_only_some_items_may_be_recommended_only_those_are_asked_about():
    allowed = [[2, 5, 9], [7, ITEMS, ITEMS]]
    world = probe_world(np.random.default_rng(0).random((2, ITEMS)), [[0], [1]], allowed=allowed)
    state, _ = jax.vmap(Simulator(SimulatorConfig()).start, (0, None))(jnp.array([0, 1]), world)
    asked = jax.vmap(partial(ask, 200), (0, 0, None))(jax.random.split(jax.random.key(0), 2), state, world)
    assert [set(items.tolist()) for items in asked.item] == [{2, 5, 9}, {7}]
    table = np.asarray(world.ratings.table)
    np.testing.assert_allclose(asked.feedback, np.take_along_axis(table, np.asarray(asked.item), axis=1))


@pytest.mark.usefixtures("batched_keys")
def test_items_that_are_never_recommended_are_learnt_too():
    expected, known = np.arange(ITEMS) / (ITEMS - 1), tuple(range(5))  # of a history nothing is recommended
    alone, asked = (trained(8, 1e-2, count, (known, known))[0] for count in (0, 4))
    errors = [np.abs(scores - expected) for scores in (alone, asked)]
    assert errors[0][5:].max() < 0.1 < errors[0][:5].max()
    assert errors[1].max() < 0.1


@pytest.mark.parametrize("name", names())
def test_nobody_asks_users(name):
    config = StudyConfig(methods=(name,))
    for stage in stages_of(get(name), config):
        asks = getattr(stage.config, "asked", 0) > 0
        assert not asks or not stage.needs & {Need.USERS}
        assert asks == (stage.name == "iALP pre-training")
