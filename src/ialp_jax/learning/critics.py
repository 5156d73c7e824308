"""Regressions of values: pure functions of arrays, one entry per decision."""

import chex
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def one_step_target(
    reward: Float[Array, "R"],
    next_value: Float[Array, "R"],
    terminated: Bool[Array, "R"],
    discount: Float[Array, ""] | float,
) -> Float[Array, "R"]:
    """r + gamma (1 - terminated) V(s'): a session that was cut is bootstrapped, one that the user left is not.

    Raises:
        AssertionError: when traced with arrays that are not all of one shape [R].
    """
    chex.assert_rank((reward, next_value, terminated), 1)
    chex.assert_equal_shape((reward, next_value, terminated))
    return reward + discount * jnp.where(terminated, 0.0, next_value)


def expectile_loss(difference: Float[Array, "R"], expectile: Float[Array, ""] | float) -> Float[Array, "R"]:
    """|tau - 1(u < 0)| u^2 of u = target - prediction (Kostrikov et al. 2021, arXiv 2110.06169, eq. 5).

    Its minimum is the tau-expectile of the targets: the mean at tau = .5, near their maximum as tau nears 1.
    """
    weight = jnp.where(difference < 0.0, 1.0 - expectile, expectile)
    return weight * difference**2


def advantage_weight(
    advantage: Float[Array, "R"], inverse_temperature: Float[Array, ""] | float, most: float = 100.0
) -> Float[Array, "R"]:
    """min(exp(beta A), most): how much a logged decision is imitated, as in AWR, AWAC and IQL (arXiv 2110.06169, eq. 7).

    Args:
        advantage: A(s, a).
        inverse_temperature: beta; 0 imitates all decisions alike.
        most: bound of the weights.
    """
    # The exponent is bounded too: what overflows would be no number before it is cut.
    return jnp.exp(jnp.minimum(inverse_temperature * advantage, jnp.log(most)))
