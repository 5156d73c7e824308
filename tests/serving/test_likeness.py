"""What is kept apart for its likeness: hand-made tables, the window, the fallback, and served sessions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world
from tiny_runs import tiny_network, tiny_params

from ialp_jax.policies.actor import policy_actor
from ialp_jax.policies.fixed import RandomPolicy, fixed_actor
from ialp_jax.serving.ledger import StreamClock, empty_ledger
from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.play import play
from ialp_jax.serving.sessions import draw_pool, open_sessions, serve
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Observation, Situation, limits

ITEMS, CAP, WINDOW = 14, 6, 2
PAIRS = [(0, 1), (2, 3), (4, 13)]


def table(pairs, items=ITEMS):
    """Booleans [N, N]: every item is like itself, and those of each pair like one another."""
    near = np.eye(items, dtype=bool)
    for one, other in pairs:
        near[one, other] = near[other, one] = True
    return near


def likeness(near, window=WINDOW):
    return Likeness(jnp.asarray(np.packbits(near, axis=1, bitorder="little")), window)


def permitted(sessions, near, window=WINDOW, excluded=None, allowed=None):
    """Items that may be recommended to each user after these items of their sessions."""
    users, items = len(sessions), len(near)
    turns = jnp.array([len(session) for session in sessions], jnp.int32)
    slots = np.full((users, CAP), items, np.int32)
    for row, session in enumerate(sessions):
        slots[row, : len(session)] = session
    lists = limits(
        jnp.asarray(np.zeros((users, 0)) if excluded is None else excluded, jnp.int32),
        None if allowed is None else jnp.asarray(allowed, jnp.int32),
    )
    seen = Observation(jnp.zeros((users, 1), jnp.int32), jnp.zeros((users, 1)))
    situation = Situation(jnp.zeros(users, jnp.int32), seen, lists)
    kept = jax.jit(likeness(near, window).kept_apart)(situation, turns, jnp.asarray(slots))
    masks = jax.vmap(lambda one: one.mask(items))(kept.limits)
    return [set(np.flatnonzero(mask).tolist()) for mask in masks]


def all_but(*items):
    return set(range(ITEMS)) - set(items)


def test_nothing_is_barred_before_the_first_recommendation():
    """Also though the slots of the session hold item N, which is no row of the table."""
    assert permitted([[]], table([])) == [all_but()]


@pytest.mark.parametrize(
    ("session", "barred"),
    [([0], (0, 1)), ([0, 2], (0, 1, 2, 3)), ([0, 2, 5], (2, 3, 5)), ([4, 6, 7], (6, 7)), ([13], (4, 13))],
)
def test_what_is_like_one_of_the_last_items_is_barred_and_earlier_ones_are_forgotten(session, barred):
    assert permitted([session], table(PAIRS)) == [all_but(*barred)]


def test_users_are_independent():
    assert permitted([[0], [2, 13], []], table(PAIRS)) == [
        all_but(0, 1),
        all_but(2, 3, 4, 13),
        all_but(),
    ]


def test_a_window_longer_than_the_session_sees_all_of_it():
    assert permitted([[0, 2, 5, 13]], table(PAIRS), window=2 * CAP) == [all_but(0, 1, 2, 3, 4, 5, 13)]


def test_where_everything_would_be_barred_only_the_lists_count():
    """The second user's last item is like all but one, which is excluded; the third's like all but two."""
    near = table([(1, other) for other in range(13)] + [(2, other) for other in range(12)])
    near[0] = True
    found = permitted([[0], [1], [2]], near, window=1, excluded=[[5], [13], [13]])
    assert found == [all_but(5), all_but(13), {12}]


def test_nothing_is_kept_apart_within_an_allowed_list():
    allowed = np.array([[0, 1, 5]])
    assert permitted([[0]], table(PAIRS), allowed=allowed) == [{0, 1, 5}]


def near_of(world, percentile):
    points = np.asarray(world.item_vectors)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return distances < np.percentile(distances[np.triu_indices(len(points), 1)], percentile)


def too_close(items, near, window):
    """How many items of one session are like one of the `window` before."""
    return sum(near[items[max(0, turn - window) : turn], item].any() for turn, item in enumerate(items))


@pytest.fixture(scope="module", params=["masked", "allowed"])
def setting(request):
    world = random_world(users=6, items=40, history=4)
    simulator = Simulator(SimulatorConfig(turn_cap=CAP, rules=(), repeats=request.param))
    return world, simulator, fixed_actor(RandomPolicy(40)), near_of(world, 15.0)


def played(setting, rule, actor=None):
    world, simulator, drawing, _ = setting
    actor = actor or drawing
    return jax.jit(lambda key: play(key, actor, simulator, world, 50, rule))(jax.random.key(1))


def test_played_sessions_keep_apart_what_is_alike(setting):
    near = setting[-1]
    counts = []
    for rule in (None, likeness(near)):
        items = np.asarray(played(setting, rule).items)
        sessions = items if items.shape[0] == 50 else items.T
        assert sessions.shape == (50, CAP) and np.all(sessions < 40)
        counts.append(sum(too_close(session, near, WINDOW) for session in sessions))
    assert counts[0] > 20 and counts[1] == 0


def served(setting, rule, actor=None, turns=20, users=8):
    world, simulator, drawing, _ = setting
    actor, clock = actor or drawing, StreamClock(turns, 2, CAP)

    @jax.jit
    def run(key):
        first, pool_key, serve_key = jax.random.split(key, 3)
        sessions = open_sessions(draw_pool(first, users, actor, simulator, world), simulator, world)
        pool = draw_pool(pool_key, 4, actor, simulator, world)
        return serve(
            serve_key, sessions, empty_ledger(2), jnp.int32(0), turns, pool, actor, simulator, world, clock, rule
        )  # fmt: skip

    return jax.tree.map(np.asarray, run(jax.random.key(2)))


def test_served_sessions_keep_apart_what_is_alike_and_a_new_session_starts_afresh(setting):
    near = setting[-1]
    counts = []
    for rule in (None, likeness(near)):
        _, _, now = served(setting, rule)
        count = 0
        for user in range(now.action.shape[1]):
            ends = np.flatnonzero(now.done[:, user]) + 1
            for session in np.split(now.action[:, user], ends):
                count += too_close(session, near, WINDOW)
        counts.append(count)
        assert now.done.any()
        if rule is not None:
            opening = np.concatenate([np.zeros((1, now.done.shape[1]), bool), now.done[:-1]])
            assert not now.limits.alike[opening].any() and now.limits.alike[~opening][1:].any()
    assert counts[0] > 20 and counts[1] == 0


def test_a_rule_that_holds_nothing_alike_serves_as_no_rule_does(setting):
    """The same items to the same users, numbers up to rounding; without a rule no bits are carried."""
    nothing, network = likeness(np.zeros((40, 40), bool)), tiny_network(40)
    actor = policy_actor(network, tiny_params(network))
    same = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5))
    same(played(setting, None, actor), played(setting, nothing, actor))
    plain, ruled = served(setting, None, actor), served(setting, nothing, actor)
    assert plain[2].limits.alike.shape[-1] == 0 and ruled[2].limits.alike.shape[-1] == 5
    for name in ("action", "done"):
        np.testing.assert_array_equal(getattr(plain[2], name), getattr(ruled[2], name))
    without = ruled[2].replace(limits=ruled[2].limits.none_alike())
    same(plain, (*ruled[:2], without))
