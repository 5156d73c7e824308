"""The stream of sessions: the ledger against a recount, what may be recommended, who comes next."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world
from tiny_runs import in_world, tiny_learner, tiny_network, tiny_params

from ialp_jax.methods.named.a_ialp_ap_mixture import MixtureConfig, MixtureHyper, MixtureLearner
from ialp_jax.methods.named.random import RandomServer
from ialp_jax.policies.fixed import RandomPolicy, fixed_actor
from ialp_jax.serving.ledger import StreamClock, empty_ledger
from ialp_jax.serving.sessions import draw_pool, draw_rollout, open_sessions, serve
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

USERS, POOL, TURNS, CAP, BINS = 5, 3, 17, 4, 6


@pytest.fixture(scope="module")
def stream():
    """Two rollouts of a random policy, their pools, and the ledger after both."""
    world = random_world(users=6, items=14, history=4)
    simulator, actor = Simulator(SimulatorConfig(turn_cap=CAP)), fixed_actor(RandomPolicy(14))
    clock = StreamClock(TURNS, BINS, CAP)

    def excluded_of(state):
        return jax.vmap(lambda one: simulator.situation(one, world).limits.excluded)(state)

    @jax.jit
    def run(key):
        first_key, *keys = jax.random.split(key, 5)
        sessions, ledger, parts = (
            open_sessions(draw_pool(first_key, USERS, actor, simulator, world), simulator, world),
            empty_ledger(BINS),
            [],
        )
        for start, turns, pool_key, serve_key in ((0, 9, *keys[:2]), (9, 8, *keys[2:])):
            pool = draw_pool(pool_key, POOL, actor, simulator, world)
            before = excluded_of(sessions.state)
            sessions, ledger, transitions = serve(
                serve_key, sessions, ledger, jnp.int32(start), turns, pool, actor, simulator, world, clock
            )
            drawn = draw_rollout(jax.random.clone(serve_key), turns, USERS, POOL, actor).arrivals
            fresh = excluded_of(open_sessions(pool, simulator, world).state)
            parts.append((before, fresh, transitions, excluded_of(sessions.state), sessions, drawn))
        return ledger, parts

    return world, *jax.tree.map(np.asarray, run(jax.random.key(5)))


def test_the_ledger_is_a_recount_of_the_transitions(stream):
    world, ledger, parts = stream
    join = lambda name: np.concatenate([getattr(part[2], name) for part in parts])  # noqa: E731
    reward, done = join("reward") * float(world.rating_high), join("done")
    expected, late = {name: np.zeros(BINS) for name in ("sessions", "reward", "length")}, 0
    for user in range(USERS):
        start = 0
        for turn in np.flatnonzero(done[:, user]):
            late += start > TURNS - CAP
            if start <= TURNS - CAP:
                index = start * BINS // TURNS
                expected["sessions"][index] += 1
                expected["reward"][index] += reward[start : turn + 1, user].sum()
                expected["length"][index] += turn + 1 - start
            start = turn + 1
    assert late > 0 and expected["sessions"].sum() > 10
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(ledger, name), values, rtol=1e-5)


@pytest.mark.parametrize(("turn", "expected"), [(0, 0), (2, 0), (3, 1), (13, 4), (14, BINS), (16, BINS)])
def test_sessions_that_may_not_finish_fall_in_no_bin(turn, expected):
    """A session of 4 turns that starts at turn 13 of 17 ends with the stream."""
    assert StreamClock(TURNS, BINS, CAP).bin_of(jnp.array([turn]))[0] == expected


def test_no_session_is_longer_than_the_cap_and_some_end_early(stream):
    _, _, parts = stream
    done = np.concatenate([part[2].done for part in parts])
    lengths = [np.diff(np.append(-1, np.flatnonzero(done[:, user]))) for user in range(USERS)]
    assert max(map(max, lengths)) == CAP and min(map(min, lengths)) < CAP
    assert all(parts[-1][4].state.turn < CAP)


def test_excluded_items_are_never_recommended_and_sessions_exclude_their_items(stream):
    _, _, parts = stream
    for _, _, transitions, *_ in parts:
        assert not np.any(transitions.limits.excluded == transitions.action[..., None])
        assert np.all((transitions.action >= 0) & (transitions.action < 14))
        follows = np.any(transitions.limits.excluded[1:] == transitions.action[:-1, :, None], axis=-1)
        assert np.all(follows[~transitions.done[:-1]])


def test_a_session_that_ends_is_followed_by_a_user_of_the_pool(stream):
    _, _, parts = stream
    for before, fresh, transitions, after, _, arrivals in parts:
        np.testing.assert_array_equal(transitions.limits.excluded[0], before)
        following = np.concatenate([transitions.limits.excluded[1:], after[None]])
        assert np.all((arrivals >= 0) & (arrivals < POOL))
        assert transitions.done.any()
        np.testing.assert_array_equal(following[transitions.done], fresh[arrivals][transitions.done])


def test_slots_that_a_session_has_not_reached_hold_nothing(stream):
    """Also where the session before in the same place had filled them."""
    world, _, parts = stream
    for *_, sessions, _ in parts:
        empty = np.arange(CAP) >= sessions.state.turn[:, None]
        assert empty.any()
        assert np.all(sessions.state.session_items[empty] == world.num_items)
        assert np.all(sessions.state.session_feedback[empty] == 0.0)
        assert np.all(sessions.state.session_items[~empty] < world.num_items)


def test_rewards_are_scaled_by_the_highest_rating_and_feedback_to_the_unit_interval(stream):
    world, _, parts = stream
    low, high = float(world.rating_low), float(world.rating_high)
    for _, _, transitions, *_ in parts:
        np.testing.assert_allclose(
            transitions.reward * high, low + transitions.feedback * (high - low), rtol=1e-5
        )


def test_equal_keys_bring_equal_pools_to_every_method():
    """With sessions of fixed length the same users of them come at the same turns, whatever is recommended."""
    world, network = random_world(users=6, items=14, history=4), tiny_network()
    simulator = SimulatorConfig(turn_cap=2, rules=())
    learner = tiny_learner(network, simulator)
    params = tiny_params(network)
    hyper, data = MixtureHyper(), in_world(world)
    runs = {
        "random": (RandomServer(learner.scene), (), ()),
        "a2c": (learner, hyper, (params,)),
        "mixture": (MixtureLearner(learner.scene, MixtureConfig(feedback_steps=0)), hyper, (params, params)),
    }

    def users(learner, hyper, params, key):
        run = learner.init(key, hyper, data, params)
        after, _ = learner.update(run, hyper, data)
        before, now = run.serving.sessions.state, after.serving.sessions.state
        return before.user, now.user, now.turn

    found = [jax.jit(partial(users, *run))(jax.random.key(0)) for run in runs.values()]
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, found[0], other)
