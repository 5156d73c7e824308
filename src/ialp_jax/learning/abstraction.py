"""States drawn together and apart by what they are worth."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from ialp_jax.serving.shares import gather


@struct.dataclass
class Abstraction:
    """How far states lie within and between groups.

    Attributes:
        loss: J.
        centres: mean features of each group.
        within: sum of the states' squared distances to the centre of their group.
        between: sum of the squared distances of all pairs of centres.
    """

    loss: Float[Array, ""]
    centres: Float[Array, "n f"]
    within: Float[Array, ""]
    between: Float[Array, ""]


def value_groups(values: Float[Array, "B"], groups: int) -> Int[Array, "B"]:
    """Group of each state, 0 for the lowest values to n - 1: of sizes that differ by 1 at most."""
    rank = jnp.argsort(jnp.argsort(values, stable=True), stable=True)
    return ((rank * groups) // values.shape[0]).astype(jnp.int32)


def abstraction_of(features: Float[Array, "B f"], values: Float[Array, "B"], groups: int) -> Abstraction:
    """Value-based state abstraction (Xue et al. 2023, arXiv 2310.03984).

        J = (2B / n) sum_k sum_{i in k} |phi_i - c_k|^2 - (B^2 / n^2) sum_{k < m} |c_k - c_m|^2

    with n groups by value and their means c as centres. Without bounds on phi it has none below.

    Args:
        features: phi of each state.
        values: V of each; only their order counts.
        groups: n of 1 to B.
    """
    states = values.shape[0]
    member = jax.nn.one_hot(value_groups(values, groups), groups)
    centres = (member.T @ features) / jnp.sum(member, axis=0)[:, None]
    within = jnp.sum((features - member @ centres) ** 2)
    between = jnp.sum((centres[:, None] - centres[None]) ** 2) / 2.0  # every pair stands there twice
    loss = 2.0 * states / groups * within - (states / groups) ** 2 * between
    return Abstraction(loss, centres, within, between)


def unit_features(features: Float[Array, "B f"]) -> Float[Array, "B f"]:
    """Features at unit length; what is 0 stays 0."""
    return features / jnp.sqrt(jnp.sum(features**2, axis=1, keepdims=True) + 1e-12)


def grouped_loss(features: Float[Array, "B f"], values: Float[Array, "B"], groups: int) -> Float[Array, ""]:
    """J / B^2 of the rows of all devices; each holds a part of them."""
    features, values = gather((features, values))
    return abstraction_of(features, values, groups).loss / values.shape[0] ** 2
