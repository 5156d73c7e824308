"""Advantage-weighted actor-critic: its losses on rows, and what it learns from logs alone and then online."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, NETWORK, OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tiny_runs import tiny_params

from ialp_jax.learning.experience import Experience
from ialp_jax.methods.learners.lagging import ReplayConfig
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.awac import AWACHyper, AWACOffline, AWACOnline, awac_loss
from ialp_jax.worlds.types import Observation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = AWACHyper(learning_rate=5e-3, discount=0.9, temperature=0.3, target_rate=0.02)


def rows(count):
    window = Observation(jnp.array([[ITEMS, 0]] * count), jnp.array([[0.0, 1.0]] * count))
    ones = jnp.ones(count)
    return Experience(window, limits(jnp.zeros((count, 1), jnp.int32)), jnp.full(count, 3),
                      0.5 * ones, ones, ones > 0, ones < 0, ones)  # fmt: skip


def test_the_value_is_drawn_towards_the_policys_own():
    """Many rows of one state: V's target is sum_a pi(a|s) Q^(s, a) over what may be recommended."""
    params, target, batch = tiny_params(NETWORK, 2), tiny_params(NETWORK, 2, seed=1), rows(4000)
    one = jax.tree.map(lambda leaf: leaf[:1], batch)
    features, lagging = (NETWORK.begin(these, one.window).features for these in (params, target))
    items, bias = NETWORK.catalogue(params)
    logits = np.array(NETWORK.query(params, features) @ items.T + bias[None])[0]
    logits[0] = -np.inf
    policy = np.exp(logits) / np.exp(logits).sum()
    tiled = jnp.broadcast_to(lagging, (ITEMS, lagging.shape[1]))
    action_values = np.asarray(NETWORK.action_value(target, tiled, jnp.arange(ITEMS)))
    value = float(NETWORK.value(params, features)[0])
    expected = 0.5 * policy @ (action_values - value) ** 2
    spread = np.sqrt(policy @ (0.5 * (action_values - value) ** 2 - expected) ** 2 / 4000)
    metrics = awac_loss(params, target, NETWORK, batch, HYPER, jax.random.key(0))[1]
    assert abs(float(metrics["value_loss"]) - expected) < 5 * spread
    weight = min(np.exp((action_values[3] - value) / 0.3), 100.0)
    assert float(metrics["policy_loss"]) == pytest.approx(-weight * np.log(policy[3]), rel=1e-3)


@pytest.mark.parametrize("name", PAYS)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(name):
    world = world_of(name)
    learner = AWACOffline(scene(1), OfflineConfig(updates=600, batch=128))
    reward = greedy_reward(((learner, HYPER),), 6, world, logged_in(world))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward


def test_online_it_goes_on_from_few_logs():
    """Twelve logged sessions are too few to know what pays; serving users mends that."""
    world, soft = world_of("by the history"), HYPER.replace(temperature=1.0)
    few = logged_in(world, sessions=12)
    offline = AWACOffline(scene(1), OfflineConfig(updates=60, batch=32))
    online = AWACOnline(
        scene(300), ReplayConfig(gradient_steps=4, online_rows=2, logged_rows=16, kept_turns=64)
    )
    before = greedy_reward(((offline, soft),), 3, world, few)
    after = greedy_reward(((offline, soft), (online, soft)), 3, world, few)
    assert np.mean(after) >= 0.95 * OPTIMUM and np.mean(after) > np.mean(before) + 0.05, (before, after)
