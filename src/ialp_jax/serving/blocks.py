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
LEAST = 2048  # blocks of 1,024 were slower than none on a device of two threads


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
    count = jax.tree.leaves(users)[0].shape[0] // size
    if count == 1:
        return play(users, turns)

    def cut(axis: int) -> Callable[[Array], Array]:
        return lambda leaf: jnp.moveaxis(
            leaf.reshape(*leaf.shape[:axis], count, size, *leaf.shape[axis + 1 :]), axis, 0
        )

    def join(axis: int) -> Callable[[Array], Array]:
        return lambda leaf: jnp.moveaxis(leaf, 0, axis).reshape(
            *leaf.shape[1 : axis + 1], count * size, *leaf.shape[axis + 2 :]
        )

    blocks = jax.tree.map(cut(0), users), jax.tree.map(cut(1), turns)
    users, turns = jax.lax.map(lambda block: play(*block), blocks)
    return jax.tree.map(join(0), users), jax.tree.map(join(1), turns)
