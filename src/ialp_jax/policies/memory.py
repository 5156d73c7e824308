"""All that a recommender knows of one session: the history it opened with, and what was recommended since."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.worlds.types import Observation


@struct.dataclass
class Memory:
    """A session, whole: unlike a window of its last interactions it never loses the history it opened with.

    Attributes:
        known: the history at the start.
        items: what entered the history since, most recent last, padded on the left with N.
        feedback: its feedback; 0 where padded.
    """

    known: Observation
    items: Int[Array, "S"]
    feedback: Float[Array, "S"]

    def after(self, item: Int[Array, ""], feedback: Float[Array, ""], appended: Bool[Array, ""]) -> "Memory":
        """After one more interaction; unchanged where it did not enter the history."""
        items = jnp.concatenate([self.items[1:], item[None]])
        feedbacks = jnp.concatenate([self.feedback[1:], feedback[None]])
        return Memory(
            self.known, jnp.where(appended, items, self.items), jnp.where(appended, feedbacks, self.feedback)
        )


def opened(known: Observation, slots: int, num_items: int) -> Memory:
    """A session that begins, with room for `slots` interactions."""
    return Memory(known, jnp.full(slots, num_items, jnp.int32), jnp.zeros(slots))
