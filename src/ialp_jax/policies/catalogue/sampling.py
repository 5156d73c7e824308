"""Two-level inverse-CDF sampling: a group of items by its mass, then an item of the group.

`distrax.Categorical` draws N Gumbel numbers per row, which costs more than the softmax itself; this draws two. Each
level has a uniform number of its own: one has 2^23 values, so shared by both levels it would give an item of a
million 8 or 9 of them, an error of 6 %.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BLOCK_ITEMS = 64


def inverse_cdf(uniforms: Float[Array, "2"], weights: Float[Array, "N"]) -> Int[Array, ""]:
    """Item drawn in proportion to `weights` by two uniforms in [0, 1); zero weights are never chosen.

    It is always one of the N: item 0 where no weight is above 0, or where their sum is no number.
    """
    whole = weights.shape[0] // BLOCK_ITEMS * BLOCK_ITEMS
    masses = jnp.sum(weights[:whole].reshape(-1, BLOCK_ITEMS), axis=1)
    if whole < weights.shape[0]:  # the last, shorter block apart: padding would copy all the weights
        masses = jnp.append(masses, jnp.sum(weights[whole:]))
    first = locate(uniforms[0], masses) * BLOCK_ITEMS
    slots = first + jnp.arange(BLOCK_ITEMS, dtype=jnp.int32)
    return first + locate(uniforms[1], weights.at[slots].get(mode="fill", fill_value=0.0))


def locate(uniform: Float[Array, ""], weights: Float[Array, "m"]) -> Int[Array, ""]:
    """Index of the interval of the cumulative weights that holds `uniform` in [0, 1); never one of weight 0.

    0 where there is no such interval.
    """
    edges, filled = jnp.cumsum(weights), weights > 0.0
    # A parallel prefix sum rounds by position: it need not ascend, and may step up at a slot of weight 0.
    total = jnp.max(edges, initial=0.0, where=filled)
    target = jnp.minimum(uniform * total, jnp.nextafter(total, 0.0))
    slots = jnp.arange(weights.shape[0], dtype=jnp.int32)
    last = weights.shape[0]
    place = jnp.min(jnp.where(filled & (edges > target), slots, last))
    return jnp.where(place < last, place, 0)
