"""What a stream derives from its small state is what a plain-Python twin keeps explicitly, through resets too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import world_arrays, world_from
from simulator_twin import SimulatorTwin

from ialp_jax.policies.fixed import RandomPolicy, fixed_actor
from ialp_jax.serving.ledger import Endings, Ledger, StreamClock, empty_ledger, record
from ialp_jax.serving.sessions import Actor, draw_pool, draw_rollout, open_sessions, serve
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

USERS, POOL, TURNS, CAP = 6, 4, 40, 5
CONFIGS = {
    "all kept": SimulatorConfig(turn_cap=CAP),
    "rejected forgotten": SimulatorConfig(turn_cap=CAP, keep_rejected=False, rejection_threshold=0.5),
    "repeats allowed": SimulatorConfig(turn_cap=CAP, repeats="allowed", rules=("rating", "patience")),
}


def noting_actor(num_items):
    """Acts at random and keeps the situation in which it acted."""
    actor = fixed_actor(RandomPolicy(num_items))

    def act(key, recall, situation):
        return actor.act(key, recall, situation)[0], situation

    return Actor(actor.begin, actor.advance, act, actor.keys)


@partial(jax.jit, static_argnames="simulator")
def stream(key, simulator, world):
    first_key, pool_key, serve_key = jax.random.split(key, 3)
    actor = noting_actor(world.num_items)
    sessions = open_sessions(draw_pool(first_key, USERS, actor, simulator, world), simulator, world)
    pool = draw_pool(pool_key, POOL, actor, simulator, world)
    drawn = draw_rollout(jax.random.clone(serve_key), TURNS, USERS, POOL, actor)
    clock = StreamClock(TURNS, 3, CAP)
    transitions = serve(
        serve_key, sessions, empty_ledger(3), jnp.int32(0), TURNS, pool, actor, simulator, world, clock
    )[2]
    return sessions.state.user, pool.user, drawn.arrivals, drawn.step.rating, transitions


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_seen_and_excluded_is_what_the_twin_remembers(name):
    config = CONFIGS[name]
    arrays = world_arrays(list(CONFIGS).index(name))
    found = jax.device_get(stream(jax.random.key(1), Simulator(config), world_from(arrays)))
    users, pool, arrivals, noise, transitions = found
    twin, compared, ended, rejected = SimulatorTwin(config, arrays), 0, 0, 0
    for row, user in enumerate(users):
        session = twin.start(int(user))
        for turn in range(TURNS):
            seen = jax.tree.map(lambda leaf, at=(turn, row): leaf[at], transitions.extras)
            items, feedback = twin.observation(session)
            np.testing.assert_array_equal(seen.observation.items, items)
            np.testing.assert_allclose(seen.observation.feedback, feedback, atol=1e-6)
            assert set(np.flatnonzero(~np.asarray(seen.action_mask(14)))) == twin.forbidden(session)
            outcome = twin.step(session, int(transitions.action[turn, row]), float(noise[turn, row]))
            if outcome.near_miss:
                break
            compared, rejected = compared + 1, rejected + (not outcome.appended)
            assert transitions.done[turn, row] == (outcome.terminated or outcome.truncated)
            if transitions.done[turn, row]:
                ended += 1
                session = twin.start(int(pool[arrivals[turn, row]]))
    assert compared > 0.9 * USERS * TURNS and ended > 20
    assert (rejected > 20) != config.keep_rejected


@pytest.mark.parametrize(
    ("turns", "bins", "first"), [(17, 6, 0), (17, 6, 9), (1000, 7, 700), (300, 100, 250)]
)
def test_a_ledger_written_once_is_one_written_every_turn(turns, bins, first):
    """Sessions of arbitrary lengths, some begun before the rollout, some too late to count."""
    rows, here, clock = 5, 8, StreamClock(turns, bins, CAP)
    generator = np.random.default_rng(turns + first)
    starts = np.full(rows, max(first - 2, 0))
    done, length = np.zeros((here, rows), bool), np.zeros((here, rows), np.int32)
    expected = {name: np.zeros(bins) for name in ("sessions", "reward", "length")}
    reward = generator.uniform(1, 5, (here, rows)).astype(np.float32)
    for turn in range(here):
        for row in range(rows):
            length[turn, row] = first + turn + 1 - starts[row]
            done[turn, row] = length[turn, row] == CAP or generator.random() < 0.3
            if done[turn, row]:
                index = int(clock.bin_of(jnp.int32(starts[row])))
                if index < bins:
                    expected["sessions"][index] += 1
                    expected["reward"][index] += reward[turn, row]
                    expected["length"][index] += length[turn, row]
                starts[row] = first + turn + 1
    before = Ledger(*(jnp.arange(float(bins)) + offset for offset in range(3)))
    after = jax.jit(partial(record, clock=clock))(before, Endings(done, reward, length), jnp.int32(first))
    assert expected["sessions"].sum() > 3
    for name, sums in expected.items():
        np.testing.assert_allclose(getattr(after, name) - getattr(before, name), sums, rtol=1e-5, atol=1e-4)


def test_arrivals_are_uniform_over_the_pool_in_every_row_and_turn():
    draws = jax.vmap(lambda key: draw_rollout(key, 3, 4, 5, noting_actor(14)).arrivals)(
        jax.random.split(jax.random.key(0), 4000)
    )
    for turn in range(3):
        for row in range(4):
            counts = np.bincount(draws[:, turn, row], minlength=5)
            assert ((counts - 800) ** 2 / 800).sum() < 23.5  # chi-square, 4 degrees, p = 0.0001
    # Two rows do not keep meeting the same user, nor does a row meet the user of another turn.
    for one, other in (((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 0), (1, 1))):
        same = np.mean(draws[:, *one] == draws[:, *other])
        assert abs(same - 0.2) < 5 * (0.2 * 0.8 / 4000) ** 0.5
