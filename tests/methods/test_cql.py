"""Conservative Q-learning: golden numbers, the tabular optimum, and what it learns from logs alone and then online."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tabular import BEHAVIOUR
from tabular_network import LIVING, NETWORK, backed_up, experience, largest, m4_rows, table_params
from tabular_network import OPTIMUM as M4_OPTIMUM

from ialp_jax.methods.learners.action_values import ExploringReplayConfig
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.bc import CloningHyper, CloningLearner
from ialp_jax.methods.named.cql import CQLHyper, CQLOffline, CQLOnline, cql_loss
from ialp_jax.study.logged import LoggedConfig, recorded_sessions

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = CQLHyper(learning_rate=5e-3, discount=0.9, conservatism=0.5, target_rate=0.02)


def test_the_penaltys_golden_number():
    """Q = (1, 2, 3), item 0 was logged; V(s) cancels."""
    params = table_params([[1, 2, 3], [0] * 3, [0] * 3, [0] * 3], values=[7, 0, 0, 0])
    metrics = cql_loss(params, params, NETWORK, experience([0], [0], [0.0], [3]), HYPER)[1]
    assert float(metrics["penalty"]) == pytest.approx(2.407606, abs=5e-7)


@pytest.mark.parametrize("excluded", [2, 1])
def test_what_may_not_be_recommended_does_not_enter_the_penalty(excluded):
    params = table_params([[1, 2, 3], [0] * 3, [0] * 3, [0] * 3])
    rows = experience([0], [0], [0.0], [3], excluded=[[excluded]])
    other = {1: 3.0, 2: 2.0}[excluded]
    penalty = float(cql_loss(params, params, NETWORK, rows, HYPER)[1]["penalty"])
    assert penalty == pytest.approx(np.log(np.exp(1.0) + np.exp(other)) - 1.0, rel=1e-5)


def test_the_bandits_golden_numbers():
    """mu = (.6, .3, .1), r = (1, 2, 0), loss TD^2 / 2 + CQL / 2: where gradient descent ends."""
    rows = experience([0] * 10, [0] * 6 + [1] * 3 + [2], [1.0] * 6 + [2.0] * 3 + [0.0], [3] * 10)

    def scores(table):
        return table_params(jnp.zeros((4, 3)).at[0].set(table))

    def step(table, _):
        slope = jax.grad(lambda at: cql_loss(scores(at), scores(at), NETWORK, rows, HYPER)[0])(table)
        return table - 1.5 * slope, None

    table = jax.jit(lambda: jax.lax.scan(step, jnp.zeros(3), None, length=400)[0])()
    np.testing.assert_allclose(table, [1.201443, 1.605548, -0.025302], atol=1e-6)


@pytest.mark.parametrize("conservatism", [0.0, 0.1, 1.0])
def test_the_gradient_is_zero_at_the_tabular_optimum(conservatism):
    """M4, by fixed-point iteration in NumPy: mu (Q - y) + alpha (softmax(Q) - mu) = 0."""
    table = np.zeros((4, 3))
    for _ in range(4000):
        weights = np.exp(table)
        slope = BEHAVIOUR * (table - backed_up(table.max(axis=1))) + conservatism * (
            weights / weights.sum(axis=1, keepdims=True) - BEHAVIOUR
        )
        slope[LIVING] = 0.0
        table -= 0.5 * slope
    if not conservatism:
        np.testing.assert_allclose(table.max(axis=1), M4_OPTIMUM, atol=5e-7)
    hyper = CQLHyper(discount=0.9, conservatism=conservatism)
    loss = jax.jit(jax.grad(lambda at, lagging: cql_loss(at, lagging, NETWORK, m4_rows(), hyper)[0]))
    params, other = table_params(table), table_params(table + np.eye(4, 3))
    assert largest(loss(params, params)) < 1e-6 < 1e-2 < largest(loss(other, params))


@pytest.fixture(scope="module")
def offline():
    return CQLOffline(scene(1), OfflineConfig(updates=400, batch=64))


@pytest.mark.parametrize("name", PAYS)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(offline, name):
    world = world_of(name)
    reward = greedy_reward(((offline, HYPER),), 4, world, logged_in(world))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward


def test_it_beats_cloning_of_a_policy_that_prefers_what_does_not_pay(offline):
    world = world_of("the same for everybody")
    popularity = np.where(PAYS["the same for everybody"][0] > 0, 1.0, 2.0).astype(np.float32)
    logs = recorded_sessions(world, scene(1).simulator, popularity, [0, 1],
                             LoggedConfig(sessions=600, exponent=1.0, floor=0.2))  # fmt: skip
    cloning = CloningLearner(scene(1), OfflineConfig(updates=200, batch=64))
    cloned = greedy_reward(((cloning, CloningHyper(learning_rate=5e-3, liked=0.0)),), 4, world, logs)
    reward = greedy_reward(((offline, HYPER),), 4, world, logs)
    assert np.mean(reward) >= 0.95 * OPTIMUM > 0.8 * OPTIMUM > np.mean(cloned), (reward, cloned)


def test_online_it_goes_on_from_few_logs():
    """Twelve logged sessions are too few to know what pays; serving users mends that.

    It must hardly be conservative then: its penalty clones what it serves, and at .5 it stays where it started (.71).
    """
    world, bold = world_of("by the history"), HYPER.replace(conservatism=0.05)
    few = logged_in(world, sessions=12)
    short = CQLOffline(scene(1), OfflineConfig(updates=60, batch=32))
    replay = ExploringReplayConfig(
        gradient_steps=4, online_rows=2, logged_rows=16, kept_turns=64, explore=0.1
    )
    stages = ((short, bold), (CQLOnline(scene(120), replay), bold))
    before = greedy_reward(stages[:1], 2, world, few)
    after = greedy_reward(stages, 2, world, few)
    assert np.mean(after) >= 0.95 * OPTIMUM and np.mean(after) > np.mean(before) + 0.05, (before, after)
