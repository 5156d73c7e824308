"""Items that may not be recommended: their logits are `MASKED`."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

MASKED = -1e30  # finite, so that exp is exactly 0 and no inf - inf ever appears


def mask_logits(
    logits: Float[Array, "R M"],
    excluded: Int[Array, "R E"],
    allowed: Int[Array, "R K"],
    start: Int[Array, "R"] | Int[Array, ""] | int = 0,
) -> Float[Array, "R M"]:
    """Sets the logits of items that may not be recommended to `MASKED` (padding id N is ignored).

    Args:
        logits: of the items start .. start + M - 1.
        excluded: ids that may not be recommended.
        allowed: if it has columns, the only ids that may be.
        start: first id of the logits, one for all rows or one per row.
    """
    rows = jnp.arange(logits.shape[0], dtype=jnp.int32)[:, None]
    first = jnp.broadcast_to(jnp.asarray(start, jnp.int32), rows.shape[:1])[:, None]
    if allowed.shape[1]:
        slots = _slots(allowed, first, logits.shape[1])
        permitted = jnp.zeros(logits.shape, bool).at[rows, slots].set(True, mode="drop")
        logits = jnp.where(permitted, logits, MASKED)
    if not excluded.shape[1]:
        return logits
    return logits.at[rows, _slots(excluded, first, logits.shape[1])].set(MASKED, mode="drop")


def permitted(ids: Int[Array, "*draws R"], excluded: Int[Array, "R E"], allowed: Int[Array, "R K"]) -> Array:
    """Whether each item may be recommended to its row."""
    listed = lambda lists: jnp.any(  # noqa: E731
        ids[..., None] == jnp.broadcast_to(lists, (*ids.shape, lists.shape[-1])), axis=-1
    )
    may = ~listed(excluded)
    if allowed.shape[-1]:
        may &= listed(allowed)
    return may


def _slots(ids: Int[Array, "R E"], first: Int[Array, "R 1"], size: int) -> Int[Array, "R E"]:
    """Places of ids among `size` items from `first` on; `size` where it is none of them (scatters count -1 back)."""
    places = ids - first
    return jnp.where((places >= 0) & (places < size), places, size)
