"""Values that shrink where logs are few: golden numbers, the tabular optimum, and what it learns from logs and online."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_rows import p_value
from small_optima import OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tabular import BEHAVIOUR
from tabular_network import (
    LIVING,
    NETWORK,
    TabularActorCritic,
    backed_up,
    experience,
    largest,
    m4_rows,
    table_params,
)
from tabular_network import OPTIMUM as M4_OPTIMUM

from ialp_jax.methods.learners.action_values import ExploringReplayConfig, best_items
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.count_shrink import (
    ShrinkHyper,
    ShrinkOffline,
    ShrinkOnline,
    shrink_loss,
    uniform_items,
)
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.worlds.types import limits

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = ShrinkHyper(learning_rate=5e-3, discount=0.9, shrinkage=0.1, target_rate=0.02)
FOUR = Network(TabularActorCritic(4, PolicyConfig("gru", embedding=4, hidden=4, sharpness=1.0)))
"""M4's network with four items."""


def every_item(rows, items):
    """Each row as often as there are items, and each of these with one of them: the penalty's mean is then exact."""
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf, items, axis=0), rows)
    return many, jnp.tile(jnp.arange(items), rows.action.shape[0])


def test_the_bandits_golden_numbers():
    """mu = (.6, .3, .1, 0), y = (1, 2, 0, 9), q0 = -1, alpha = .5: where gradient descent ends.

    The item that was never logged would pay 9, and is not chosen: nothing said so.
    """
    rows, uniform = every_item(
        experience([0] * 10, [0] * 6 + [1] * 3 + [2], [1.0] * 6 + [2.0] * 3 + [0.0], [3] * 10), 4
    )
    hyper = HYPER.replace(shrinkage=0.5, anchor=-1.0)
    frame = {
        **table_params(np.zeros((4, 4)), advantages=np.zeros((4, 4))),
        "items": jnp.eye(4),
        "bias": jnp.zeros(4),
    }

    def scores(table):
        kernel = jnp.zeros((4, 4)).at[0].set(table)
        return {**frame, "query_head": {"kernel": kernel, "bias": jnp.zeros(4)}}

    def step(table, _):
        slope = jax.grad(lambda at: shrink_loss(scores(at), scores(at), FOUR, rows, uniform, hyper)[0])(table)
        return table - 1.2 * slope, None

    table = jax.jit(lambda: jax.lax.scan(step, 5.0 * jnp.ones(4), None, length=300)[0])()
    np.testing.assert_allclose(table, [0.655172, 1.117647, -0.555556, -1.0], atol=1e-6)
    kappa = (np.array([1.0, 2.0, 0.0]) - np.asarray(table)[:3]) / np.array(
        [2.0, 3.0, 1.0]
    )  # (y - Q) / (y - q0)
    np.testing.assert_allclose(kappa, [0.172414, 0.294118, 0.555556], atol=1e-6)
    window = jax.tree.map(lambda leaf: leaf[:1], rows.window)
    assert best_items(FOUR, scores(table), window, limits(jnp.zeros((1, 0), jnp.int32))).tolist() == [1]


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_the_gradient_is_zero_at_the_tabular_optimum(shrinkage):
    """M4 in NumPy: Q = (1 - kappa) y + kappa q0, kappa = (alpha / 3) / (mu + alpha / 3), by iteration."""
    kappa, table = (shrinkage / 3) / (BEHAVIOUR + shrinkage / 3), np.zeros((4, 3))
    for _ in range(500):
        table = (1.0 - kappa) * backed_up(table.max(axis=1)) - 0.2 * kappa
        table[LIVING] = 0.0
    if not shrinkage:
        np.testing.assert_allclose(table.max(axis=1), M4_OPTIMUM, atol=5e-7)
    rows, uniform = every_item(m4_rows(), 3)
    hyper = HYPER.replace(shrinkage=shrinkage, anchor=-0.2)
    slope = jax.jit(jax.grad(lambda at, lagging: shrink_loss(at, lagging, NETWORK, rows, uniform, hyper)[0]))
    params, other = table_params(table), table_params(table + np.eye(4, 3))
    assert largest(slope(params, params)) < 2e-6 < 1e-2 < largest(slope(other, params))


def test_items_are_uniform_over_what_might_be_recommended():
    count = 9000
    rows = experience([0] * count, [0] * count, [0.0] * count, [3] * count, excluded=[[1, 7]] * count)
    items = np.asarray(jax.jit(lambda key: uniform_items(key, rows, 8))(jax.random.key(0)))
    assert p_value(items, np.where(np.isin(np.arange(8), (1, 7)), 0.0, 1 / 6)) > 1e-3


@pytest.mark.parametrize(("after", "later"), [(3, 0.0), (1, 2.7)])
def test_what_terminates_is_not_bootstrapped(after, later):
    params = table_params([[1.0, 2.0, 3.0]] * 4)
    rows = experience([0], [0], [0.25], [after])
    metrics = shrink_loss(params, params, NETWORK, rows, jnp.array([2]), HYPER.replace(anchor=1.0))[1]
    assert float(metrics["action_value_loss"]) == pytest.approx(0.5 * (0.25 + later - 1.0) ** 2)
    assert float(metrics["penalty"]) == pytest.approx(2.0)


@pytest.fixture(scope="module")
def offline():
    return ShrinkOffline(scene(1), OfflineConfig(updates=400, batch=64))


@pytest.mark.parametrize("name", PAYS)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(offline, name):
    world = world_of(name)
    reward = greedy_reward(((offline, HYPER),), 4, world, logged_in(world))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward


def test_online_it_goes_on_from_few_logs():
    """Twelve logged sessions are too few to know what pays; serving users mends that."""
    world = world_of("by the history")
    few = logged_in(world, sessions=12)
    short = ShrinkOffline(scene(1), OfflineConfig(updates=60, batch=32))
    replay = ExploringReplayConfig(
        gradient_steps=4, online_rows=2, logged_rows=16, kept_turns=64, explore=0.1
    )
    before = greedy_reward(((short, HYPER),), 2, world, few)
    after = greedy_reward(((short, HYPER), (ShrinkOnline(scene(120), replay), HYPER)), 2, world, few)
    assert np.mean(after) >= 0.95 * OPTIMUM and np.mean(after) > np.mean(before) + 0.05, (before, after)
