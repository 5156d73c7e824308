"""Recorded sessions: the logging policy's stated chances, and what a recording says of a session."""

import jax
import jax.numpy as jnp
import numpy as np
from random_worlds import random_world
from scipy.stats import chisquare

from ialp_jax.policies.logging import logging_actor
from ialp_jax.serving.recording import record_sessions
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Observation, Situation, limits

ITEMS, CAP, SESSIONS = 14, 4, 60
WORLD = random_world(users=6, items=ITEMS, history=4)
POPULARITY = np.arange(ITEMS).astype(np.float32)
SIMULATOR = Simulator(SimulatorConfig(turn_cap=CAP, keep_rejected=False, rejection_threshold=0.5))


def test_the_logging_policy_draws_by_the_chances_it_states():
    excluded, users, floor = np.array([3, 13, ITEMS]), 40_000, 0.3
    permitted = ~np.isin(np.arange(ITEMS), excluded)
    popular = np.where(permitted, np.sqrt(1.0 + POPULARITY.astype(float)), 0)
    chances = (1 - floor) * popular / popular.sum() + floor * permitted / permitted.sum()
    actor = logging_actor(jnp.asarray(POPULARITY), 0.5, floor)
    seen = Observation(jnp.zeros((users, 4), jnp.int32), jnp.zeros((users, 4)))
    lists = jnp.broadcast_to(jnp.asarray(excluded, jnp.int32), (users, 3))
    situation = Situation(jnp.zeros(users, jnp.int32), seen, limits(lists))
    item, log_propensity = actor.act(actor.keys(jax.random.key(0), users), (), situation)
    np.testing.assert_allclose(np.exp(log_propensity), chances[np.asarray(item)], rtol=1e-5)
    counts = np.bincount(item, minlength=ITEMS)
    assert counts[~permitted].sum() == 0
    assert chisquare(counts[permitted], chances[permitted] / chances.sum() * users).pvalue > 1e-3


def test_a_recording_is_what_the_simulator_did():
    """Windows follow from actions and feedback, lengths from departures, rewards from ratings."""
    actor = logging_actor(jnp.asarray(POPULARITY), 0.5, 0.5)
    made = jax.tree.map(np.asarray, record_sessions(jax.random.key(1), actor, SIMULATOR, WORLD, SESSIONS))
    assert made.length.min() >= 1 and made.length.max() == CAP
    assert np.all(made.terminated[made.length < CAP]) and 0 < made.terminated.sum() < SESSIONS
    low, high = float(WORLD.rating_low), float(WORLD.rating_high)
    for session in range(SESSIONS):
        length = made.length[session]
        actions = made.action[session, :length]
        assert len(set(actions)) == length and not set(actions) & set(made.window.items[session, 0])
        for turn in range(length - 1):
            window = made.window.items[session, turn]
            expected = [*window[1:], actions[turn]] if made.appended[session, turn] else window
            np.testing.assert_array_equal(made.window.items[session, turn + 1], expected)
        feedback = made.feedback[session, :length]
        np.testing.assert_array_equal(made.appended[session, :length], feedback >= 0.5)
        kept = made.reward[session, :length] * high
        np.testing.assert_allclose(kept, low + feedback * (high - low), rtol=1e-4, atol=1e-4)
    assert np.all(made.log_propensity[:, 0] < 0)


def test_equal_keys_record_equal_sessions_and_others_others():
    actor = logging_actor(jnp.asarray(POPULARITY), 0.5, 0.5)
    record = jax.jit(lambda key: record_sessions(key, actor, SIMULATOR, WORLD, 8).action)
    first, again, other = (record(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
