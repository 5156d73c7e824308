"""Whole sessions: lengths, what is masked after the end, and the same users for every policy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world
from tiny_runs import tiny_network, tiny_params

from ialp_jax.policies.actor import policy_actor
from ialp_jax.policies.fixed import RandomPolicy, ScorePolicy, fixed_actor
from ialp_jax.serving.play import play
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

ITEMS, CAP, SESSIONS = 14, 6, 64
WORLD = random_world(users=6, items=ITEMS, history=4)
SIMULATOR = Simulator(SimulatorConfig(turn_cap=CAP, rules=("distance", "rating")))
NETWORK = tiny_network(ITEMS)
ACTORS = {
    "random": fixed_actor(RandomPolicy(ITEMS)),
    "scores": fixed_actor(ScorePolicy(jnp.arange(float(ITEMS))[None])),
    "network": policy_actor(NETWORK, tiny_params(NETWORK)),
}


@partial(jax.jit, static_argnums=1)
def played_by(key, name, world):
    return play(key, ACTORS[name], SIMULATOR, world, SESSIONS)


@pytest.fixture(scope="module")
def played():
    return {name: jax.tree.map(np.asarray, played_by(jax.random.key(5), name, WORLD)) for name in ACTORS}


def test_lengths_and_totals_are_those_of_what_was_recommended(played):
    for sessions in played.values():
        real = sessions.items < ITEMS
        np.testing.assert_array_equal(real.sum(axis=1), sessions.length)
        np.testing.assert_array_equal(real, np.arange(CAP)[None] < sessions.length[:, None])
        np.testing.assert_allclose(sessions.total, sessions.rewards.sum(axis=1), rtol=1e-5)
        assert np.all(sessions.rewards[~real] == 0) and np.all(sessions.rewards[real] >= 1)


def test_sessions_end_for_a_reason(played):
    for sessions in played.values():
        reasons = np.array(REASONS)[sessions.reason]
        assert set(reasons) <= {"distance", "rating", "turn_cap"}
        assert np.all(sessions.length[reasons == "turn_cap"] == CAP)
        assert np.all(sessions.length[sessions.length < CAP] >= 1) and np.any(reasons != "turn_cap")
        low = sessions.rewards[np.arange(SESSIONS), sessions.length - 1]
        assert np.all(low[reasons == "rating"] < 1.6) and np.all(low[reasons == "turn_cap"] >= 1.6)


def test_no_item_comes_twice_or_was_known_before(played):
    known = np.asarray(WORLD.initial_items)
    for sessions in played.values():
        for user, items in zip(sessions.users, sessions.items, strict=True):
            met = items[items < ITEMS].tolist()
            assert len(set(met)) == len(met) and not set(met) & set(known[user].tolist())


def test_equal_keys_give_every_policy_the_same_users_and_noise(played):
    for sessions in played.values():
        np.testing.assert_array_equal(sessions.users, played["random"].users)
    assert len(np.unique(played["random"].users)) == 6
    always = [
        played_by(jax.random.key(5), name, WORLD.replace(allowed_items=jnp.full((6, 1), 13)))
        for name in ACTORS
    ]
    for sessions in always[1:]:  # one permitted item: equal noise gives equal first ratings
        np.testing.assert_array_equal(sessions.rewards[:, 0], always[0].rewards[:, 0])


def test_other_keys_give_other_users():
    assert np.any(
        played_by(jax.random.key(6), "random", WORLD).users
        != played_by(jax.random.key(5), "random", WORLD).users
    )


def test_a_greedy_policy_repeats_itself_and_a_sampled_one_does_not():
    quiet = WORLD.replace(rating_noise=jnp.float32(0.0), session_users=jnp.zeros(6, jnp.int32))
    simulator = Simulator(SimulatorConfig(turn_cap=2, rules=()))
    params = tiny_params(NETWORK)

    @partial(jax.jit, static_argnums=1)
    def items_of(key, greedy):
        return play(key, policy_actor(NETWORK, params, greedy), simulator, quiet, 20).items

    items = {greedy: items_of(jax.random.key(0), greedy) for greedy in (True, False)}
    assert len(np.unique(items[True], axis=0)) == 1 < len(np.unique(items[False], axis=0))
