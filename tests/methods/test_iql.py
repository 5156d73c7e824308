"""Implicit Q-learning: its three regressions on rows, and what it learns from logs alone and then online."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, NETWORK, OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tiny_runs import tiny_params

from ialp_jax.learning.experience import Experience
from ialp_jax.methods.learners.lagging import ReplayConfig
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.iql import IQLHyper, IQLOffline, IQLOnline, iql_loss
from ialp_jax.worlds.types import Observation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = IQLHyper(learning_rate=5e-3, discount=0.9, expectile=0.8, inverse_temperature=3.0, target_rate=0.02)


def rows(terminated=(False, True)):
    window = Observation(jnp.array([[ITEMS, 0], [ITEMS, 1]]), jnp.array([[0.0, 1.0]] * 2))
    ones = jnp.ones(2)
    return Experience(window, limits(jnp.array([[0], [1]])), jnp.array([3, 4]), 0.5 * ones, ones,
                      ones > 0, jnp.asarray(terminated), ones)  # fmt: skip


def test_the_losses_are_the_three_regressions():
    """Worked out by hand from the network's own parts."""
    params, target, batch = tiny_params(NETWORK, 2), tiny_params(NETWORK, 2, seed=1), rows()
    features, after = (
        NETWORK.begin(params, window).features for window in (batch.window, batch.window_after())
    )
    value, next_value = (np.asarray(NETWORK.value(params, one)) for one in (features, after))
    action_value = np.asarray(NETWORK.action_value(params, features, batch.action))
    lagging = np.asarray(
        NETWORK.action_value(target, NETWORK.begin(target, batch.window).features, batch.action)
    )
    goal = 0.5 + 0.9 * np.where([False, True], 0.0, next_value)
    above = lagging - value
    logits = np.array(
        NETWORK.query(params, features) @ NETWORK.catalogue(params)[0].T + NETWORK.catalogue(params)[1][None]
    )
    logits[[0, 1], [0, 1]] = -np.inf
    log_prob = logits[[0, 1], [3, 4]] - np.log(np.exp(logits).sum(axis=1))
    metrics = iql_loss(params, target, NETWORK, batch, HYPER)[1]
    expected = {
        "value_loss": np.mean(np.where(above < 0, 0.2, 0.8) * above**2),
        "action_value_loss": 0.5 * np.mean((goal - action_value) ** 2),
        "policy_loss": -np.mean(np.minimum(np.exp(3.0 * above), 100.0) * log_prob),
    }
    for name, number in expected.items():
        assert float(metrics[name]) == pytest.approx(float(number), rel=1e-4), name


def test_the_error_of_q_does_not_move_v():
    """V is the expectile of Q, not its mean: only the part of Q beside V may follow the target."""
    params, target, batch = tiny_params(NETWORK, 2), tiny_params(NETWORK, 2, seed=1), rows()

    def of(name):
        return jax.grad(lambda params: iql_loss(params, target, NETWORK, batch, HYPER)[1][name])(params)

    head = lambda slope: slope["value_out"]["bias"]  # noqa: E731
    assert not np.any(head(of("action_value_loss"))) and not np.any(head(of("policy_loss")))
    assert np.any(head(of("value_loss")))


@pytest.fixture(scope="module")
def offline():
    return IQLOffline(scene(1), OfflineConfig(updates=600, batch=128))


@pytest.mark.parametrize("name", PAYS)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(offline, name):
    world = world_of(name)
    reward = greedy_reward(((offline, HYPER),), 6, world, logged_in(world))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward


def test_online_it_goes_on_from_few_logs(offline):
    """Twelve logged sessions are too few to know what pays; serving users mends that.

    It explores by nothing but its policy's own chance: what it imitates must not be too sharp.
    """
    soft = HYPER.replace(inverse_temperature=1.0)
    world = world_of("by the history")
    few = logged_in(world, sessions=12)
    online = IQLOnline(
        scene(150), ReplayConfig(gradient_steps=4, online_rows=2, logged_rows=16, kept_turns=64)
    )
    short = replace(offline, config=OfflineConfig(updates=60, batch=32))
    before = greedy_reward(((short, soft),), 3, world, few)
    after = greedy_reward(((short, soft), (online, soft)), 3, world, few)
    assert np.mean(after) >= 0.95 * OPTIMUM and np.mean(after) > np.mean(before) + 0.05, (before, after)
