"""Regularisation towards a prior policy: known answers, and that they are where the actor-critic's loss is at rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular import DISCOUNT, PRIOR, REWARDS, TRANSITIONS, soft_backup
from tiny_runs import tiny_network, tiny_params

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.prior import prior_log_prob
from ialp_jax.policies.catalogue import HeadStatistics
from ialp_jax.policies.encoders import Recall
from ialp_jax.serving.sessions import Transition
from ialp_jax.worlds.types import limits

TABLE, PAYS = np.array([0.7, 0.2, 0.1]), np.array([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("weight", "value", "policy", "divergence"),
    [
        (0.1, 1.769751, [0.0, 0.000091, 0.999909], 2.301586),
        (1.0, 0.684390, [0.353078, 0.274219, 0.372702], 0.335234),
        (10.0, 0.422684, [0.671029, 0.211886, 0.117085], 0.002337),
    ],
)
def test_one_step_golden_numbers(weight, value, policy, divergence):
    """Known answers, computed once by an independent program; V is the reward minus what the divergence costs."""
    found, chosen = soft_backup(jnp.asarray(PAYS, jnp.float32), jnp.asarray(TABLE, jnp.float32), weight)
    found, chosen = float(found), np.asarray(chosen)
    assert found == pytest.approx(value, abs=1e-5)
    np.testing.assert_allclose(chosen, policy, atol=2e-6)
    apart = np.sum(chosen * np.log(np.maximum(chosen, 1e-30) / TABLE))
    assert apart == pytest.approx(divergence, abs=1e-5)
    assert found == pytest.approx(chosen @ PAYS - weight * apart, abs=1e-5)


def test_the_fixed_point_of_a_small_mdp():
    """Known answers, computed once by an independent program: lambda .5."""

    def backup(values):
        action_values = (
            jnp.asarray(REWARDS, jnp.float32) + DISCOUNT * jnp.asarray(TRANSITIONS, jnp.float32) @ values
        )
        return soft_backup(action_values, jnp.asarray(PRIOR, jnp.float32), 0.5)  # fmt: skip

    values = jax.lax.fori_loop(0, 300, lambda _, values: backup(values)[0], jnp.zeros(4))
    np.testing.assert_allclose(values, [1.067546, 1.096236, 1.300934, 0.0], atol=2e-6)
    policies = [[0.54936, 0.418501, 0.032139], [0.431228, 0.346377, 0.222395], [0.036231, 0.94727, 0.016499]]
    np.testing.assert_allclose(backup(values)[1], [*policies, [1 / 3] * 3], atol=2e-6)


@pytest.mark.parametrize("floor", [1e-6, 0.05, 1.0])
@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_the_tables_policy_is_a_softmax_with_a_floor_over_what_is_permitted(temperature, floor):
    generator = np.random.default_rng(0)
    scores, permitted = generator.uniform(size=8), np.array([1, 0, 1, 1, 0, 1, 1, 1], bool)
    weights = np.where(permitted, np.exp(scores / temperature), 0.0)
    exact = (1 - floor) * weights / weights.sum() + floor / permitted.sum()
    items = np.flatnonzero(permitted).astype(np.int32)
    found = jax.vmap(prior_log_prob, (None, None, 0, None, None))(
        jnp.asarray(scores, jnp.float32), jnp.asarray(permitted), jnp.asarray(items), temperature, floor
    )
    np.testing.assert_allclose(np.exp(found), exact[items], rtol=2e-6)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-6)


def bandit_loss(params, network, actions, prior, pays, weight, hyper, value):
    """The loss of one last turn in which each action of `actions` was taken by a user; V is `value` everywhere."""
    users = len(actions)
    zeros, anything = jnp.zeros((1, users)), limits(jnp.zeros((1, users, 0), jnp.int32))
    action, over = jnp.asarray(actions, jnp.int32)[None], jnp.ones((1, users), bool)
    log_probs = jax.nn.log_softmax(params["bias"])
    statistics = HeadStatistics(
        log_probs[action], jnp.full((1, users), -jnp.sum(jnp.exp(log_probs) * log_probs)),
        jnp.full((1, users), jax.nn.logsumexp(params["bias"])),
    )  # fmt: skip
    recall = Recall(jnp.zeros((1, users, 8 + 6)))
    params = {**params, "value_out": {**params["value_out"], "bias": jnp.full(1, value)}}
    turn = Transition(recall, recall, anything, action, jnp.asarray(pays, jnp.float32)[action], zeros, over, over,
                      over, ())  # fmt: skip
    log_prior = jnp.log(jnp.asarray(prior, jnp.float32))[action]
    return actor_critic_loss(
        params, network, recall, recall, turn, statistics, None, hyper, prior=(log_prior, weight)
    )


ROWS = [0, 0, 1, 2]
"""Actions of users; as often as these probabilities say."""
POLICY = np.array([0.5, 0.25, 0.25])


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_loss_is_at_rest_at_the_closed_form_and_nowhere_near(weight):
    """Rewards are chosen so that pi_L e^(r / lambda) / Z is what the users were served with; V is lambda log Z.

    Then the policy's gradient is 0, and V's targets, of which the entropy is a part, are V on average.
    """
    value, network = 0.4, tiny_network(3)
    pays = value + weight * (np.log(POLICY) - np.log(TABLE))
    closed, chosen = soft_backup(jnp.asarray(pays, jnp.float32), jnp.asarray(TABLE, jnp.float32), weight)
    assert float(closed) == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(chosen, POLICY, atol=1e-6)
    hyper = ActorCriticHyper(entropy=0.0, discount=0.9)
    still = {
        **jax.tree.map(jnp.zeros_like, tiny_params(network)),
        "bias": jnp.log(jnp.asarray(POLICY, jnp.float32)),
    }

    def slope(weight, pays=pays):
        found = jax.grad(bandit_loss, has_aux=True)(still, network, ROWS, TABLE, pays, weight, hyper, value)
        return found[0]["bias"], found[1]

    gradient, (metrics, targets) = slope(weight)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
    assert float(jnp.mean(targets.values)) == pytest.approx(value, abs=1e-6)
    assert float(metrics["kl"]) == pytest.approx(np.sum(POLICY * np.log(POLICY / TABLE)), abs=1e-6)
    assert float(metrics["reward"]) == pytest.approx(POLICY @ pays, abs=1e-6)
    for other in (slope(1.5 * weight)[0], slope(weight, pays * 1.2)[0]):
        assert np.abs(other).max() > 0.01
