"""Warm-start RL: the warm-up changes nothing and fills the memory, no logs are read, and it learns from few of them."""

import jax
import numpy as np
import pytest
from small_optima import NETWORK as SMALL
from small_optima import OPTIMUM, greedy_reward, logged_in, scene, world_of
from tabular import BEHAVIOUR
from tabular_network import LIVING, NETWORK, backed_up, experience, largest, m4_rows, table_params
from tabular_network import OPTIMUM as M4_OPTIMUM
from tiny_runs import in_world, tiny_params

from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.calql import CalQLHyper, CalQLOffline
from ialp_jax.methods.named.wsrl import WSRL, WSRLConfig, WSRLHyper, WSRLOnline
from ialp_jax.methods.needs import Need
from ialp_jax.study.config import StudyConfig

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = WSRLHyper(learning_rate=5e-3, discount=0.9, target_rate=0.02, warm_up=0.25)
ONLINE = WSRLOnline(scene(10), WSRLConfig(gradient_steps=2, rows=2, kept_turns=64, explore=0.1))


def loss_of(params, target, rows):
    return ONLINE.loss(params, target, NETWORK, rows, HYPER, jax.random.key(0))


def test_the_gradient_is_zero_at_the_tabular_optimum():
    """M4's Q*: nothing is conservative any more, whatever the behaviour was."""
    table = backed_up(M4_OPTIMUM)
    table[LIVING] = 0.0
    np.testing.assert_allclose(table.max(axis=1), M4_OPTIMUM, atol=1e-6)
    slope = jax.jit(jax.grad(lambda at, lagging, rows: loss_of(at, lagging, rows)[0]))
    params, other = table_params(table), table_params(table + np.eye(4, 3))
    for behaviour in (BEHAVIOUR, np.array([[0.1, 0.2, 0.7]] * 4)):
        rows = m4_rows(behaviour)
        assert largest(slope(params, params, rows)) < 2e-6 < 1e-2 < largest(slope(other, params, rows))


@pytest.mark.parametrize(("after", "excluded", "later"), [(1, 2, 2.0), (1, 1, 3.0), (3, 2, 0.0)])
def test_what_is_excluded_is_no_next_item_and_what_terminates_has_none(after, excluded, later):
    params = table_params([[1.0, 2.0, 3.0]] * 4)
    rows = experience([0], [0], [0.25], [after], excluded=[[excluded]])
    assert float(loss_of(params, params, rows)[0]) == pytest.approx(0.5 * (0.25 + 0.9 * later - 1.0) ** 2)


def test_the_warm_up_serves_the_policy_as_it_is_and_fills_the_memory():
    """Three of ten rollouts of four turns; no logs are there to be read."""
    data, start = in_world(world_of("by the history")), (tiny_params(SMALL, 2), tiny_params(SMALL, 2, seed=1))
    begun = run = ONLINE.init(jax.random.key(0), HYPER, data, (start,))
    update, told = jax.jit(ONLINE.update), []
    for done in range(1, 5):
        run, metrics = update(run, HYPER, data)
        told.append(float(metrics["warming"]))
        same = [
            jax.tree.all(jax.tree.map(np.array_equal, getattr(run, name), getattr(begun, name)))
            for name in ("params", "target", "optimiser")
        ]
        assert same == [done <= 3] * 3 and int(run.replay.added) == 4 * done
    assert told == [1.0, 1.0, 1.0, 0.0]


def test_only_the_first_stage_reads_logs():
    first, online = WSRL().stages(StudyConfig(methods=("wsrl",)))
    assert first.needs == {Need.RECORDED} and online.needs == {Need.USERS} and online.after == (first,)
    assert first.learner is CalQLOffline


def test_online_it_goes_on_from_few_logs():
    """Twelve logged sessions are too few to know what pays; serving users mends that."""
    world = world_of("by the history")
    logs = logged_in(world, sessions=12)
    short = CalQLOffline(scene(1), OfflineConfig(updates=60, batch=32))
    numbers = CalQLHyper(learning_rate=5e-3, discount=0.9, conservatism=0.5, target_rate=0.02)
    online = WSRLOnline(scene(120), WSRLConfig(gradient_steps=8, rows=2, kept_turns=64, explore=0.1))
    before = greedy_reward(((short, numbers),), 2, world, logs)
    after = greedy_reward(((short, numbers), (online, HYPER.replace(warm_up=0.05))), 2, world, logs)
    assert np.mean(after) >= 0.95 * OPTIMUM and np.mean(after) > np.mean(before) + 0.05, (before, after)
