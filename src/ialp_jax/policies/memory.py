"""What a recommender may know of one session: the window of its last interactions, or all of it."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.worlds.types import Observation


def append(
    observation: Observation, item: Int[Array, ""], feedback: Float[Array, ""], appended: Bool[Array, ""]
) -> Observation:
    """Pushes an interaction onto the history (dropping the oldest) where `appended` is true."""
    items = jnp.concatenate([observation.items[1:], item[None]])
    feedbacks = jnp.concatenate([observation.feedback[1:], feedback[None]])
    return Observation(
        items=jnp.where(appended, items, observation.items),
        feedback=jnp.where(appended, feedbacks, observation.feedback),
    )


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
        since = append(Observation(self.items, self.feedback), item, feedback, appended)
        return Memory(self.known, since.items, since.feedback)


def opened(known: Observation, slots: int, num_items: int) -> Memory:
    """A session that begins, with room for `slots` interactions."""
    return Memory(known, jnp.full(slots, num_items, jnp.int32), jnp.zeros(slots))
