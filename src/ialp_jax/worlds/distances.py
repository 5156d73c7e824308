"""Distances between items of a world."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ialp_jax.worlds.world import World


def squared_distances(items: Int[Array, "W"], others: Int[Array, "M"], world: World) -> Float[Array, "W M"]:
    """Squared Euclidean distances by |a|^2 + |b|^2 - 2 <a, b>: a product, which processors do faster than sums.

    In float32 this is exact for Coat's integers, and elsewhere can misjudge distances within rounding of the
    threshold. In a loop over turns the norms of the catalogue are computed once, before it. Never below 0, so that
    nothing is nearer than a threshold of 0.
    """
    vectors, norms = world.item_vectors, jnp.sum(world.item_vectors**2, axis=-1)
    products = jnp.matmul(vectors[items], vectors[others].T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(norms[items][:, None] + norms[others][None, :] - 2.0 * products, 0.0)
