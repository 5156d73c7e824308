"""Coat under the published rule: lengths and returns of EasyRL4Rec's and DORL's settings.

Expected values are two independent NumPy re-runs' (2,000 episodes each, simulators.md), so they carry noise
of their own: greedy's length at N=7 has a standard error of 1.8 % over 2,000 episodes. Enough sessions are
played here that our own noise is small against the 3 % that are allowed.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.policies.fixed import OraclePolicy, RandomPolicy, ScorePolicy, fixed_actor, oracle_actor
from ialp_jax.serving.play import play
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.world import DenseRatings, Departure, World

CASES = {
    "random, N=7": (7, 6.0, "random", "allowed", 12_000, 12.5, 28.1),
    "greedy, N=7": (7, 6.0, "greedy", "allowed", 40_000, 6.0, 19.3),
    "greedy without repeats, N=7": (7, 6.0, "greedy", "masked", 20_000, 11.8, 35.6),
    "quit-avoiding greedy, N=7": (7, 6.0, "oracle", "allowed", 2_000, 30.0, 93.7),
    "random, N=3": (3, 10.0, "random", "allowed", 4_000, 3.1, 6.9),
    "greedy, N=3": (3, 10.0, "greedy", "allowed", 20_000, 2.5, 8.2),
    "quit-avoiding greedy, N=3": (3, 10.0, "oracle", "allowed", 2_000, 30.0, 92.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def ratings(shared_data):
    return np.loadtxt(shared_data / "coat" / "coat_pseudoGT_ratingM.ascii").astype(np.float32)


def coat_world(ratings, threshold):
    users, items = ratings.shape
    return World(
        ratings=DenseRatings(jnp.asarray(ratings)),
        rating_low=jnp.float32(1),
        rating_high=jnp.float32(5),
        rating_noise=jnp.float32(0),
        item_vectors=jnp.asarray(ratings.T),
        item_categories=jnp.zeros((items, 0), bool),
        session_users=jnp.arange(users, dtype=jnp.int32),
        initial_items=jnp.full((users, 1), items, jnp.int32),
        initial_feedback=jnp.zeros((users, 1)),
        allowed_items=jnp.zeros((users, 0), jnp.int32),
        departure=Departure.create(distance_threshold=threshold),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_published_lengths_and_returns(ratings, name):
    window, threshold, chosen, repeats, sessions, length, total = CASES[name]
    simulator = Simulator(SimulatorConfig(turn_cap=30, window=window, slice_quirk=True, repeats=repeats))
    actor = {
        "random": fixed_actor(RandomPolicy(ratings.shape[1])),
        "greedy": fixed_actor(ScorePolicy(jnp.asarray(ratings))),
        "oracle": oracle_actor(OraclePolicy(simulator)),
    }[chosen]
    run = jax.jit(partial(play, actor=actor, simulator=simulator, sessions=sessions))
    played = run(jax.random.key(0), world=coat_world(ratings, threshold))
    np.testing.assert_allclose(played.length.mean(), length, rtol=0.03)
    np.testing.assert_allclose(played.total.mean(), total, rtol=0.03)
