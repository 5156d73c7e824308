"""What learners tell of their own health; `ialp_jax.health` says between which bounds it is sound.

Nothing here is differentiated, and no number of a run depends on it, not in its last bit either: what an update has in
fused loops is used or computed anew `apart`, since a further use of it would have XLA fuse and round it otherwise.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ialp_jax.health import watched
from ialp_jax.serving.shares import largest

CLIP_MARGIN = 1.001
"""An importance ratio counts as clipped above this times its bound: one of 1, off by rounding, is on-policy."""
Told = dict[str, Float[Array, ""]]


Tree = TypeVar("Tree")


def apart(inputs: Tree) -> Tree:
    """The same numbers, of which XLA does not know that they are the same."""
    separate: Tree = jax.lax.optimization_barrier(jax.lax.stop_gradient(inputs))
    return separate


def value_scale(
    values: Float[Array, "*s"], rewards: Float[Array, "*s"], discount: Float[Array, ""] | float
) -> Told:
    """Mean and max of |value|, over max |reward| / (1 - gamma), what earning the largest reward for ever is worth.

    Right values stay at or below 1. Where no reward was earned, there is nothing to compare with, and both are 0.

    Args:
        values: V or Q of decisions.
        rewards: of decisions of the same update, of any shape.
        discount: gamma.
    """
    size, reward = jax.lax.stop_gradient((jnp.abs(values), jnp.max(jnp.abs(rewards))))
    most, reward = largest((jnp.max(size), reward))
    scale = jnp.where(reward > 0.0, (1.0 - discount) / jnp.where(reward > 0.0, reward, 1.0), 0.0)
    return {watched("value_mean"): jnp.mean(size) * scale, watched("value_largest"): most * scale}


def ratio_clipped(
    log_prob: Float[Array, "*s"],
    behaviour_log_prob: Float[Array, "*s"] | None,
    clip: Float[Array, ""] | float,
) -> Told:
    """Share of decisions whose importance ratio, of the policy that learns to the one that acted, lies above its bound.

    Nothing where the policy that learns is the one that acted (None).
    """
    if behaviour_log_prob is None:
        return {}
    difference = jnp.subtract(*apart((log_prob, behaviour_log_prob)))
    return {
        watched("ratio_clipped"): jnp.mean((jnp.exp(difference) > CLIP_MARGIN * clip).astype(jnp.float32))
    }
