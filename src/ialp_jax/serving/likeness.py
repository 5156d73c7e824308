"""What a recommender keeps apart: nothing is recommended that is too like one of the last items of the session.

The recommender's own rule, by its own opinion of how alike items are. It knows what it recommended; the users' own
distances and their reasons to leave are no part of it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8

from ialp_jax.worlds.near import near_rows, near_table
from ialp_jax.worlds.types import Limits, Situation


@struct.dataclass
class Likeness:
    """Which items are too alike to follow one another closely.

    Attributes:
        near: bit j % 8 of entry [i, j // 8] says that items i and j are too alike (`worlds.near.near_table`).
        window: how many of the last recommended items an item must be unlike.
    """

    near: UInt8[Array, "N M"]
    window: int = struct.field(pytree_node=False)

    def kept_apart(
        self, situation: Situation, turn: Int[Array, "B"], session_items: Int[Array, "B L"]
    ) -> Situation:
        """The situations of B users, in which nothing may be recommended that is too like what was lately.

        Where that would leave nothing, everything else stays permitted.

        Args:
            situation: of users in mid-session.
            turn: how many items have been recommended in each session.
            session_items: those items, in their order.
        """
        alike = jax.vmap(self._alike)(turn, session_items)
        limits = situation.limits
        return situation.replace(limits=limits.replace(alike=_unless_all(alike, limits, self.near.shape[0])))  # type: ignore[attr-defined, no-any-return]

    def _alike(self, turn: Int[Array, ""], session_items: Int[Array, "L"]) -> UInt8[Array, "M"]:
        places = turn - 1 - jnp.arange(self.window, dtype=jnp.int32)
        rows = self.near[session_items[jnp.maximum(places, 0)]]
        rows = jnp.where((places >= 0)[:, None], rows, jnp.uint8(0))
        bits: UInt8[Array, "M"] = jax.lax.reduce(rows, jnp.uint8(0), jax.lax.bitwise_or, (0,))
        return bits


@dataclass(frozen=True)
class LikenessRule:
    """Where a `Likeness` comes from: items as points, and how near is too near. It is what a policy takes along.

    Attributes:
        points: as far apart as the items are unlike.
        threshold: items nearer than it are too alike; 0 for none.
        window: how many of the last recommended items an item must be unlike.
    """

    points: Float[np.ndarray, "N k"]
    threshold: float
    window: int

    def table(self) -> Likeness:
        """The answers for all pairs."""
        return Likeness(near_table(self.points, self.threshold), self.window)

    def too_alike(self, sessions: Int[np.ndarray, "B S"]) -> Bool[np.ndarray, "B N"]:
        """Which items are too like one of the last `window` of each session; the most recent is last, N is no item."""
        recent = sessions[:, -self.window :]
        near = np.asarray(near_rows(self.points, self.threshold, np.minimum(recent, len(self.points) - 1)))
        alike: Bool[np.ndarray, "B N"] = np.any(near & (recent < len(self.points))[..., None], axis=1)
        return alike


def _unless_all(alike: UInt8[Array, "B M"], limits: Limits, num_items: int) -> UInt8[Array, "B M"]:
    """The bits, or none in rows where they and the excluded items could be the whole catalogue, or all of `allowed`."""
    count = jnp.sum(jax.lax.population_count(alike), axis=1, dtype=jnp.int32)
    most = num_items - limits.excluded.shape[1] - 1
    if limits.allowed.shape[1]:
        most = jnp.int32(-1)  # short lists are not worth counting: nothing is kept apart within them
    return jnp.where((count <= most)[:, None], alike, jnp.uint8(0))
