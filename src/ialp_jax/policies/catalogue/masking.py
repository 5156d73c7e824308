"""Items that may not be recommended: their logits are `MASKED`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from ialp_jax.worlds.types import Limits, unpacked

MASKED = -1e30  # finite, so that exp is exactly 0 and no inf - inf ever appears
LARGEST = 1e29  # size of a logit that may be recommended: below it is MASKED, above it sums are not finite


def bounded(logits: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Logits within +-`LARGEST`, NaN as -`LARGEST`; all others as they are.

    A policy whose parameters are no longer numbers, or too large, then still has a distribution over the items that may
    be recommended: without it weights are NaN or all 0, and a draw by them is no item, or one that is masked.
    """
    return jnp.minimum(jnp.where(logits > -LARGEST, logits, -LARGEST), LARGEST)


def mask_logits(
    logits: Float[Array, "R M"], limits: Limits, start: Int[Array, "R"] | Int[Array, ""] | int = 0
) -> Float[Array, "R M"]:
    """Sets the logits of items that may not be recommended to `MASKED` (padding id N is ignored), and bounds the others.

    Where nothing may be recommended all items are masked alike, so that a draw is still an item of the catalogue.

    Args:
        logits: of the items start .. start + M - 1.
        limits: what may be recommended, [R] rows.
        start: first id of the logits, one for all rows or one per row.
    """
    excluded, allowed, logits = limits.excluded, limits.allowed, bounded(logits)
    rows = jnp.arange(logits.shape[0], dtype=jnp.int32)[:, None]
    begin = jnp.asarray(start, jnp.int32)
    first = jnp.broadcast_to(begin, rows.shape[:1])[:, None]
    if allowed.shape[1]:
        slots = _slots(allowed, first, logits.shape[1])
        listed = jnp.zeros(logits.shape, bool).at[rows, slots].set(True, mode="drop")
        logits = jnp.where(listed, logits, MASKED)
    if limits.alike.shape[1]:
        logits = jnp.where(_alike_among(limits.alike, begin, logits.shape[1]), MASKED, logits)
    if not excluded.shape[1]:
        return logits
    return logits.at[rows, _slots(excluded, first, logits.shape[1])].set(MASKED, mode="drop")


def permitted(ids: Int[Array, "*draws R"], limits: Limits) -> Bool[Array, "*draws R"]:
    """Whether each item may be recommended to its row."""
    listed = lambda lists: jnp.any(  # noqa: E731
        ids[..., None] == jnp.broadcast_to(lists, (*ids.shape, lists.shape[-1])), axis=-1
    )
    may: Bool[Array, "*draws R"] = ~listed(limits.excluded)
    if limits.allowed.shape[-1]:
        may &= listed(limits.allowed)
    if limits.alike.shape[-1]:
        rows = jnp.broadcast_to(jnp.arange(ids.shape[-1], dtype=jnp.int32), ids.shape)
        may &= ~_bits(limits.alike[rows, ids >> 3], ids)
    return may


def _alike_among(alike: UInt8[Array, "R O"], start: Array, size: int) -> Bool[Array, "R M"]:
    """Bits of the items start .. start + size - 1."""
    if start.ndim == 0:
        # Whole rows are unpacked, which costs no lookup, and cut where the catalogue is in several blocks.
        return jax.lax.dynamic_slice_in_dim(unpacked(alike), start, size, axis=1)
    ids = start[:, None] + jnp.arange(size, dtype=jnp.int32)[None]
    return _bits(jnp.take_along_axis(alike, ids >> 3, axis=1), ids)


def _bits(octets: UInt8[Array, "*s"], ids: Int[Array, "*s"]) -> Bool[Array, "*s"]:
    return ((octets >> (ids & 7).astype(jnp.uint8)) & jnp.uint8(1)).astype(bool)


def _slots(ids: Int[Array, "R E"], first: Int[Array, "R 1"], size: int) -> Int[Array, "R E"]:
    """Places of ids among `size` items from `first` on; `size` where it is none of them (scatters count -1 back)."""
    places = ids - first
    return jnp.where((places >= 0) & (places < size), places, size)
