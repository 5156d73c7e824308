"""Users served block by block meet what they would meet all at once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world

from ialp_jax.policies.fixed import RandomPolicy, fixed_actor
from ialp_jax.serving.blocks import LEAST, MOST, in_blocks, users_at_once
from ialp_jax.serving.ledger import StreamClock, empty_ledger
from ialp_jax.serving.sessions import draw_pool, draw_rollout, open_sessions, serve, serve_turn
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

USERS, POOL, TURNS = 12, 5, 30
SIMULATOR = Simulator(SimulatorConfig(turn_cap=5))


@pytest.mark.parametrize(
    ("users", "size"),
    [(1, 1), (MOST, MOST), (2 * MOST, MOST), (3 * 2048, 3072), (MOST + 1, MOST + 1), (65_537, 65_537), (7000, 3500)],
)  # fmt: skip
def test_blocks_divide_the_users_or_there_are_none(users, size):
    assert users_at_once(users, "cpu") == size and users % size == 0
    assert users_at_once(users, "gpu") == users_at_once(users, "tpu") == users
    assert size == users or LEAST <= size <= MOST


@partial(jax.jit, static_argnums=1)
def stream(key, size):
    first_key, pool_key, serve_key = jax.random.split(key, 3)
    actor, world = fixed_actor(RandomPolicy(30)), random_world(users=20, items=30)
    sessions = open_sessions(draw_pool(first_key, USERS, actor, SIMULATOR, world), SIMULATOR, world)
    pool = draw_pool(pool_key, POOL, actor, SIMULATOR, world)
    randomness = draw_rollout(serve_key, TURNS, USERS, POOL, actor)

    def play(sessions, randomness):
        return jax.lax.scan(
            lambda before, now: serve_turn(now, before, pool, actor, SIMULATOR, world), sessions, randomness
        )

    return in_blocks(play, size, sessions, randomness)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_blocks_change_nothing_but_rounding(size):
    whole, cut = stream(jax.random.key(3), USERS), stream(jax.random.key(3), size)
    assert np.asarray(whole[1][0].done).sum() > USERS  # sessions ended and others began
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
        tolerance = 1e-6 if a.dtype == np.float32 else 0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_many_users_with_keys_of_their_own_are_served_in_blocks():
    """As the loop over turns shows: its state has the rows of one block."""
    actor, world = fixed_actor(RandomPolicy(30)), random_world(users=20, items=30)

    def program(key):
        pool = draw_pool(key, 2 * MOST, actor, SIMULATOR, world)
        sessions = open_sessions(pool, SIMULATOR, world)
        return serve(
            key,
            sessions,
            empty_ledger(3),
            jnp.int32(0),
            4,
            pool,
            actor,
            SIMULATOR,
            world,
            StreamClock(4, 3, 5),
        )

    with jax.debug_key_reuse(False):
        text = str(jax.make_jaxpr(program)(jax.random.key(0)))
    assert f"i32[{MOST},5]" in text and f"i32[2,{MOST},5]" in text
