"""Items in groups by their factors: k-means (Lloyd 1982, doi 10.1109/TIT.1982.1056489)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

STEPS = 10
"""Of Lloyd's method."""


def clusters_of(key: PRNGKeyArray, points: Float[Array, "N k"], count: int) -> Int[Array, "N"]:
    """The group of each point, 0 to C - 1; C of the points, drawn at random, are the first centres.

    A centre that no point is nearest to stays where it is.
    """
    count = min(count, points.shape[0])
    start = points[jax.random.choice(key, points.shape[0], (count,), replace=False)]

    def nearest(centres: Float[Array, "C k"]) -> Int[Array, "N"]:
        distance = jnp.sum(centres**2, axis=1)[None] - 2.0 * points @ centres.T
        return jnp.argmin(distance, axis=1).astype(jnp.int32)

    def step(centres: Array, _: None) -> tuple[Array, None]:
        place = nearest(centres)
        size = jnp.zeros(count).at[place].add(1.0)[:, None]
        sums = jnp.zeros_like(centres).at[place].add(points)
        return jnp.where(size > 0.0, sums / jnp.maximum(size, 1.0), centres), None

    return nearest(jax.lax.scan(step, start, None, length=STEPS)[0])
