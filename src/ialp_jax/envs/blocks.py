"""Users of a CPU served block by block: all turns of one block, then of the next, so that its state stays in cache.

Only for users who do not share a turn's randomness, and that is a matter of who acts: random and other fixed policies
draw from a key per user. A learnt policy draws for all its users at once, and gains nothing here: its time goes to
the catalogue head, which works in tiles anyway (docs/performance.md).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

MOST = 4096  # users whose state and rollout fit a core's caches
LEAST = 1024  # below which starting a block's operations costs more than it saves


def users_at_once(users: int, backend: str | None = None) -> int:
    """Size of the blocks in which so many users are served: a divisor from `LEAST` to `MOST`, or all of them.

    Args:
        users: B.
        backend: "cpu", "gpu" or "tpu"; the default backend if None. Accelerators serve all users at once.
    """
    if (backend or jax.default_backend()) != "cpu" or users <= MOST:
        return users
    return next((size for size in range(MOST, LEAST - 1, -1) if users % size == 0), users)


def in_blocks(
    play: Callable[[Any, Any], tuple[Any, Any]], size: int, users: Any, turns: Any
) -> tuple[Any, Any]:
    """`play(users, turns)` for blocks of `size` users, put together again; the same numbers up to rounding.

    Args:
        play: (leaves [size, ...], leaves [T, size, ...]) -> (leaves [size, ...], leaves [T, size, ...]).
        size: divides B.
        users: leaves [B, ...].
        turns: leaves [T, B, ...].
    """
    if jax.tree.leaves(users)[0].shape[0] == size:
        return play(users, turns)

    def cut(leaf: Array, axis: int) -> Array:
        return jnp.moveaxis(leaf.reshape(*leaf.shape[:axis], -1, size, *leaf.shape[axis + 1 :]), axis, 0)

    def joined(leaf: Array, axis: int) -> Array:
        leaf = jnp.moveaxis(leaf, 0, axis)
        everybody = leaf.shape[axis] * size
        return leaf.reshape(*leaf.shape[:axis], everybody, *leaf.shape[axis + 2 :])

    blocks = jax.tree.map(lambda leaf: cut(leaf, 0), users), jax.tree.map(lambda leaf: cut(leaf, 1), turns)
    users, turns = jax.lax.map(lambda block: play(*block), blocks)
    return jax.tree.map(lambda leaf: joined(leaf, 0), users), jax.tree.map(
        lambda leaf: joined(leaf, 1), turns
    )
