"""Soft Actor-Critic over the catalogue: golden numbers, the soft optimum, blocks, and what it learns in small worlds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import OPTIMUM, PAYS, greedy_reward, scene, world_of
from tabular_network import NETWORK, experience, largest, m4_rows, soft_optimum, table_params
from tiny_runs import tiny_network, tiny_params

from ialp_jax.methods.learners.soft import soft_sums
from ialp_jax.methods.named.sac_discrete import CRITICS, SACConfig, SACHyper, SACLearner, sac_loss
from ialp_jax.worlds.types import Observation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
STATE = Observation(jnp.full((1, 1), 3), jnp.zeros((1, 1)))


def parts(policy, first, second=None, temperature=0.2):
    """Parameters by tables [4, 3]: a policy and the values of two critics."""
    second = first if second is None else second
    return {
        "actor": table_params(np.log(policy)),
        "first": table_params(first, values=[0.5] * 4),
        "second": table_params(second, values=[0.5] * 4),
        "log_temperature": jnp.log(jnp.float32(temperature)),
    }


def test_the_soft_values_golden_number():
    """pi = (.2, .3, .5), Q = (1, 2, 3), alpha = .2."""
    params = parts([[0.2, 0.3, 0.5]] * 4, np.array([[0.5, 1.5, 2.5]] * 4))
    critics = [params[name] for name in CRITICS]
    sums = soft_sums(NETWORK, params["actor"], critics, STATE, limits(jnp.zeros((1, 0), jnp.int32)))
    assert float(sums.value(0.2)[0]) == pytest.approx(2.505931, abs=5e-7)
    assert int(sums.items[0]) == 3


def test_the_lower_critic_counts_item_by_item_and_excluded_items_do_not():
    params = parts([[0.2, 0.3, 0.5]] * 4, np.array([[1.0, 5.0, 9.0]] * 4), np.array([[4.0, 2.0, 9.0]] * 4))
    critics = [params[name] for name in CRITICS]
    sums = soft_sums(NETWORK, params["actor"], critics, STATE, limits(jnp.array([[2]])))
    assert float(sums.action_value[0]) == pytest.approx(0.4 * 1.5 + 0.6 * 2.5, rel=1e-5)
    assert float(sums.entropy[0]) == pytest.approx(-0.4 * np.log(0.4) - 0.6 * np.log(0.6), rel=1e-5)
    assert int(sums.items[0]) == 2


def test_blocks_of_the_catalogue_sum_to_the_whole_and_so_do_their_slopes():
    items, rows = 9000, 3
    network = tiny_network(items)
    actor, first, second = (tiny_params(network, 2, seed=seed, spread=0.5) for seed in range(3))
    window = Observation(jnp.array([[items, 0], [5, 8000], [1, 2]]), jnp.ones((rows, 2)))
    lists = limits(jnp.array([[0, 4100], [8999, 1], [7, 7]]))

    def whole(actor):
        def heads(params):
            features = network.begin(params, window).features
            vectors, bias = network.catalogue(params)
            return network.query(params, features) @ vectors.T + bias[None], network.value(params, features)

        logits = heads(actor)[0].at[jnp.arange(rows)[:, None], lists.excluded].set(-1e9)
        log_probs = jax.nn.log_softmax(logits)
        lowest = jnp.minimum(*(scores + value[:, None] for scores, value in (heads(first), heads(second))))
        return jnp.sum(jnp.exp(log_probs) * (lowest - 0.2 * log_probs))

    def blocked(actor):
        sums = soft_sums(network, actor, [first, second], window, lists)
        return jnp.sum(sums.value(0.2)), sums.items

    (value, counted), slope = jax.jit(jax.value_and_grad(blocked, has_aux=True))(actor)
    expected, expected_slope = jax.jit(jax.value_and_grad(whole))(actor)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert counted.tolist() == [8998, 8998, 8999]
    for one, other in zip(jax.tree.leaves(slope), jax.tree.leaves(expected_slope), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_gradient_is_zero_at_the_soft_optimum(temperature):
    """M4; but for the temperature's own."""
    values, policy = soft_optimum(temperature)
    best = parts(policy, values - 0.5, temperature=temperature)
    other = parts(policy[:, ::-1], values, temperature=temperature)
    hyper = SACHyper(discount=0.9, entropy_share=0.5, effective_items=50.0)
    slope = jax.jit(jax.grad(lambda at, lagging: sac_loss(at, lagging, NETWORK, m4_rows(), hyper)[0]))
    found, elsewhere = slope(best, best), slope(other, best)
    for name in ("actor", "first", "second"):
        assert largest(found[name]) < 5e-5 < 1e-2 < largest(elsewhere[name]), name
    policy = policy[:3]
    surplus = -np.sum(policy * np.log(policy), axis=1) - 0.5 * np.log(3)  # K is at most the three items
    assert float(found["log_temperature"]) == pytest.approx(temperature * surplus.mean(), rel=1e-4)


def test_what_terminates_is_not_bootstrapped_and_what_is_cut_is():
    params = parts([[0.2, 0.3, 0.5]] * 4, np.array([[0.5, 1.5, 2.5]] * 4))
    hyper = SACHyper(discount=0.9)
    for after, later in ((3, 0.0), (1, 0.9 * 2.505931)):
        rows = experience([0], [0], [0.25], [after])
        loss = float(sac_loss(params, params, NETWORK, rows, hyper)[1]["action_value_loss"])
        assert loss == pytest.approx((0.25 + later - 1.0) ** 2, rel=1e-5)


@pytest.mark.parametrize("name", PAYS)
def test_it_comes_within_five_percent_of_the_optimum(name):
    """Greedily: the policy itself keeps its entropy."""
    hyper = SACHyper(learning_rate=5e-3, discount=0.9, entropy_share=0.5, target_rate=0.02)
    learner = SACLearner(scene(120), SACConfig(gradient_steps=4, rows=2, kept_turns=64))
    reward = greedy_reward(((learner, hyper),), 3, world_of(name), None)
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
