"""What answers to "which of these two?" say of a reward: Bradley and Terry's model (1952), by several members.

    P(a before b) = sigmoid(theta . (phi_a - phi_b))

Member j minimises sum_i w_ij (softplus(m_i) - y_i m_i) + |theta - theta_j0|^2 / (2 v), m_i = theta . (phi_a - phi_b): the answers are
weighed by draws from Exp(1) and the prior's mean is drawn from the prior, so that members differ by what is not known. A step
solves the quadratic that lies above the loss and touches it (Jaakkola and Jordan 2000, doi 10.1023/A:1008932416310): it never rises.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.recommenders.regression import solve

STEPS = 4
"""Of a fit that goes on from an earlier one."""
FLAT = 1e-3
"""Margins below it have the curvature of 0."""


@struct.dataclass
class Comparisons:
    """A bank with room for C answers, the first `count` of which were given.

    Attributes:
        difference: phi_a - phi_b; 0 where nothing was asked, which then says nothing.
        answer: 1 for a, 0 for b, 1/2 for neither.
        weight: of each answer in each of J members.
        count: answers that were given.
    """

    difference: Float[Array, "C d"]
    answer: Float[Array, "C"]
    weight: Float[Array, "J C"]
    count: Int[Array, ""]

    def add(
        self, difference: Float[Array, "q d"], answer: Float[Array, "q"], given: Bool[Array, "q"]
    ) -> "Comparisons":
        """With those of q answers that were given, in their order; beyond C none is kept."""
        room = self.answer.shape[0]
        place = self.count + jnp.cumsum(given, dtype=jnp.int32) - 1
        place = jnp.where(given & (place < room), place, room)
        return Comparisons(
            self.difference.at[place].set(difference, mode="drop"),
            self.answer.at[place].set(answer, mode="drop"),
            self.weight,
            jnp.minimum(self.count + jnp.sum(given, dtype=jnp.int32), room),
        )


def no_comparisons(key: PRNGKeyArray, room: int, width: int, members: int) -> Comparisons:
    """Nothing asked yet; the weights of answers to come are drawn."""
    weight = jax.random.exponential(key, (members, room))
    return Comparisons(jnp.zeros((room, width)), jnp.full(room, 0.5), weight, jnp.int32(0))


def comparison_loss(
    theta: Float[Array, "d"],
    difference: Float[Array, "C d"],
    answer: Float[Array, "C"],
    weight: Float[Array, "C"],
) -> Float[Array, ""]:
    """sum_i w_i (softplus(m_i) - y_i m_i): the negative log-likelihood of the answers."""
    margin = difference @ theta
    return jnp.sum(weight * (jax.nn.softplus(margin) - answer * margin))


def fit_rewards(
    theta: Float[Array, "J d"],
    before: Float[Array, "J d"],
    asked: Comparisons,
    variance: Float[Array, ""] | float,
    steps: int = STEPS,
) -> Float[Array, "J d"]:
    """Steps from `theta`; `before` are the prior means theta_j0, `variance` is v."""
    ridge = jnp.eye(theta.shape[1]) / variance
    counted = (jnp.arange(asked.answer.shape[0]) < asked.count).astype(jnp.float32)

    def of_one(theta: Array, mean: Array, weight: Array) -> Float[Array, "d"]:
        pull = (counted * weight * (asked.answer - 0.5)) @ asked.difference + mean / variance

        def step(theta: Array, _: None) -> tuple[Array, None]:
            margin = jnp.abs(asked.difference @ theta)
            held = jnp.maximum(margin, FLAT)
            bend = jnp.where(margin > FLAT, jnp.tanh(held / 2.0) / (2.0 * held), 0.25)
            curved = counted * weight * bend
            return solve(asked.difference.T @ (curved[:, None] * asked.difference) + ridge, pull), None

        return jax.lax.scan(step, theta, None, length=steps)[0]

    fitted: Float[Array, "J d"] = jax.vmap(of_one)(theta, before, asked.weight)
    return fitted
