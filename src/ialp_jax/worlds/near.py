"""Which pairs of items are too alike, looked up: the distance rule's answers for a catalogue, computed once.

A bit per pair. A turn then reads one byte for each item of the window instead of its whole vector; where vectors are
columns of ratings (one entry per user), that is thousands of times less.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt8

from ialp_jax.worlds.distances import squared_distances
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
    return world.replace(near=_tabulated(world))  # type: ignore[attr-defined]


@jax.jit
def _tabulated(world: World) -> UInt8[Array, "N M"]:
    items = jnp.arange(world.num_items, dtype=jnp.int32)
    limit = world.departure.distance_threshold**2

    def block(start: Int[Array, ""]) -> UInt8[Array, "R M"]:
        rows = jnp.minimum(start + jnp.arange(BLOCK, dtype=jnp.int32), world.num_items - 1)
        return jnp.packbits(squared_distances(rows, items, world) < limit, axis=1, bitorder="little")

    packed = jax.lax.map(block, jnp.arange(0, world.num_items, BLOCK, dtype=jnp.int32))
    return packed.reshape(-1, packed.shape[-1])[: world.num_items]


def looked_up(near: UInt8[Array, "N M"], item: Int[Array, ""], others: Int[Array, "W"]) -> Bool[Array, "W"]:
    """What a table of `tabulate_near` says of an item and others; anything for ids beyond the catalogue."""
    octets = near.at[item, others >> 3].get(mode="clip")
    return ((octets >> (others & 7).astype(jnp.uint8)) & 1).astype(bool)
