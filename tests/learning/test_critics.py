"""Regressions of values against written-down numbers and tabular optima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.learning.critics import advantage_weight, expectile_loss, one_step_target


def test_a_session_that_was_cut_is_bootstrapped_and_one_that_was_left_is_not():
    target = one_step_target(jnp.array([1.0, 1.0]), jnp.array([5.0, 5.0]), jnp.array([False, True]), 0.9)
    np.testing.assert_allclose(target, [5.5, 1.0])


def test_arrays_of_different_shape_are_refused():
    with pytest.raises(AssertionError):
        jax.eval_shape(lambda: one_step_target(jnp.ones(3), jnp.ones(2), jnp.zeros(3, bool), 0.9))


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.9])
def test_the_expectile_of_zero_and_one_is_itself(expectile):
    """Known answer: the tau-expectile of {0, 1} is tau."""
    goals = jnp.array([0.0, 1.0])
    gradient = jax.grad(lambda value: jnp.mean(expectile_loss(goals - value, expectile)))
    assert float(gradient(jnp.float32(expectile))) == pytest.approx(0.0, abs=1e-7)
    assert (
        float(gradient(jnp.float32(expectile + 0.1)))
        > 0.05
        > -0.05
        > float(gradient(jnp.float32(expectile - 0.1)))
    )


def test_the_expectile_is_found_by_iteration_too():
    """Of many numbers, against the fixed point of the weighted mean."""
    goals = np.random.default_rng(0).normal(size=200)
    value = 0.0
    for _ in range(200):
        weight = np.where(goals < value, 0.2, 0.8)
        value = np.sum(weight * goals) / np.sum(weight)
    gradient = jax.grad(lambda at: jnp.mean(expectile_loss(jnp.asarray(goals, jnp.float32) - at, 0.8)))
    assert float(gradient(jnp.float32(value))) == pytest.approx(0.0, abs=1e-5)


def test_weights_are_the_exponential_of_the_advantage_up_to_a_bound():
    """AWAC's golden numbers: pi = (.2, .3, .5), Q = (1, 2, 3), lambda 1 weigh (.272532, .740818, 2.013753)."""
    action_values, policy = np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.3, 0.5])
    advantage = jnp.asarray(action_values - policy @ action_values, jnp.float32)
    np.testing.assert_allclose(advantage_weight(advantage, 1.0), [0.272532, 0.740818, 2.013753], atol=1e-6)
    np.testing.assert_allclose(
        advantage_weight(jnp.array([1e6, -1e6, 0.0]), 3.0), [100.0, 0.0, 1.0], rtol=1e-5
    )
    np.testing.assert_allclose(advantage_weight(jnp.array([1.0, 2.0]), 0.0), [1.0, 1.0])


def test_implicit_q_learning_finds_the_tabular_optimum():
    """M4 by the three regressions alone: V near V*, and the imitated policy near the optimal one.

    Four states of which the last is absorbing, three actions, gamma .9; V* = (1.452394, 1.653577, 1.454545, 0).
    """
    transition = np.zeros((4, 3, 4))
    transition[0] = [[0, 0.8, 0.2, 0], [0, 0.2, 0.8, 0], [0, 0, 0, 1]]
    transition[1] = [[0.5, 0, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]]
    transition[2] = [[0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5], [0, 0, 0, 1]]
    transition[3] = [[0, 0, 0, 1]] * 3
    reward = np.array([[0, 0.1, 0.5], [1, 0.2, 0.6], [0.3, 0.8, 0.4], [0, 0, 0]])
    model = jnp.asarray(transition, jnp.float32)

    def step(carry, _):
        value, action_value = carry
        goal = one_step_target(
            jnp.asarray(reward, jnp.float32).ravel(), (model @ value).ravel(), jnp.zeros(12, bool), 0.9
        )
        action_value = action_value + 0.5 * (goal.reshape(4, 3) - action_value)
        slope = jax.grad(lambda at: jnp.sum(expectile_loss((action_value - at[:, None]).ravel(), 0.999)))(
            value
        )
        return (value - 0.4 * slope, action_value), None

    (value, action_value), _ = jax.lax.scan(step, (jnp.zeros(4), jnp.zeros((4, 3))), None, length=4000)
    np.testing.assert_allclose(value, [1.452394, 1.653577, 1.454545, 0.0], rtol=0.01, atol=1e-3)
    weight = advantage_weight((action_value - value[:, None]).ravel(), 30.0).reshape(4, 3)
    assert np.array_equal(np.argmax(weight[:3], axis=1), [0, 0, 1])
