"""Which pairs of items are too alike, looked up: the distance rule's answers for a catalogue, computed once.

A bit per pair. A turn then reads one byte for each item of the window instead of its whole vector; where vectors are
columns of ratings (one entry per user), that is thousands of times less.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from ialp_jax.worlds.points import squared_distances
from ialp_jax.worlds.world import World

TABLE_ITEMS = 8_192
"""Largest catalogue that gets a table. At 8 MB it is no slower than reading vectors 16 wide, the narrowest that matter;
at 16,384 items (34 MB) it outgrows the caches of a CPU and was 0.84 to 0.95 times as fast."""
BLOCK = (
    256  # rows at once: their distances to the whole catalogue are all that is held in float32 (8 MB at most)
)


def tabulate_near(world: World) -> World:
    """The world with `near` filled in for its item vectors and distance threshold, at up to `TABLE_ITEMS` items.

    Larger worlds are returned as they are. Whoever changes the vectors or the threshold tabulates afterwards. The
    answers are those of the computed rule up to its rounding: exact for integer vectors. Traceable.
    """
    if world.num_items > TABLE_ITEMS:
        return world
    return world.replace(near=near_table(world.item_vectors, world.departure.distance_threshold))  # type: ignore[attr-defined]


def near_table(
    vectors: Float[Array | np.ndarray, "N k"], threshold: Float[Array, ""] | float
) -> UInt8[Array, "N M"]:
    """Bit j % 8 of entry [i, j // 8]: whether the points i and j are nearer than `threshold`."""
    return _tabulated(jnp.asarray(vectors), jnp.float32(threshold))


@jax.jit
def near_rows(
    vectors: Float[Array | np.ndarray, "N k"], threshold: float, items: Int[Array | np.ndarray, "B W"]
) -> Bool[Array, "B W N"]:
    """Rows of `near_table`, one boolean per item: whether each point of the catalogue is nearer than `threshold`."""
    vectors, limit = jnp.asarray(vectors), jnp.float32(threshold)
    everything = jnp.arange(vectors.shape[0], dtype=jnp.int32)
    return jax.vmap(lambda rows: squared_distances(rows, everything, vectors) < limit**2)(jnp.asarray(items))


@jax.jit
def _tabulated(vectors: Float[Array, "N k"], threshold: Float[Array, ""]) -> UInt8[Array, "N M"]:
    count = vectors.shape[0]
    items = jnp.arange(count, dtype=jnp.int32)

    def block(start: Int[Array, ""]) -> UInt8[Array, "R M"]:
        rows = jnp.minimum(start + jnp.arange(BLOCK, dtype=jnp.int32), count - 1)
        return jnp.packbits(squared_distances(rows, items, vectors) < threshold**2, axis=1, bitorder="little")

    packed = jax.lax.map(block, jnp.arange(0, count, BLOCK, dtype=jnp.int32))
    return packed.reshape(-1, packed.shape[-1])[:count]


def looked_up(near: UInt8[Array, "N M"], item: Int[Array, ""], others: Int[Array, "W"]) -> Bool[Array, "W"]:
    """What a table of `tabulate_near` says of an item and others; anything for ids beyond the catalogue."""
    octets = near.at[item, others >> 3].get(mode="clip")
    return ((octets >> (others & 7).astype(jnp.uint8)) & 1).astype(bool)
