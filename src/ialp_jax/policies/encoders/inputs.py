"""What an encoder is told of one interaction."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def interaction_features(embedded: Float[Array, "e"], feedback: Float[Array, ""]) -> Float[Array, "2e+1"]:
    """The item as liked, the item as disliked, and the feedback itself; feedback in [0, 1]."""
    return jnp.concatenate([embedded * feedback, embedded * (1.0 - feedback), feedback[None]])
