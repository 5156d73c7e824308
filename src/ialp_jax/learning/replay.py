"""A ring of the last turns of every user who is served: experience, or any other rows with an `action`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.learning.experience import rows_of
from ialp_jax.serving.shares import PerUser, draw


@struct.dataclass
class Turns(PerUser):
    """The last C turns of each of B users, [B, C, ...]: the devices of a mesh share them."""

    experience: Any


@struct.dataclass
class Replay:
    """What B users did lately.

    Attributes:
        turns: a ring for each user.
        added: turns that each user has been served in all.
    """

    turns: Turns
    added: Int[Array, ""]

    def add(self, rollout: Any) -> "Replay":
        """Writes a rollout [T, B, ...] over the oldest turns; T is at most C."""
        count = rollout.action.shape[0]
        capacity = self.turns.experience.action.shape[1]
        slots = (self.added + jnp.arange(count, dtype=jnp.int32)) % capacity

        def written(ring: Array, latest: Array) -> Array:
            return ring.at[:, slots].set(jnp.swapaxes(latest, 0, 1))

        return Replay(Turns(jax.tree.map(written, self.turns.experience, rollout)), self.added + count)

    def sample(self, key: PRNGKeyArray, per_user: int) -> Any:
        """Rows [B x per_user]: so many turns of every user, uniformly among those that are kept, with replacement."""
        return self.rows(self.slots(key, per_user))

    def slots(self, key: PRNGKeyArray, per_user: int) -> Int[Array, "B n"]:
        """Where in the rings the turns lie that `sample` draws."""
        users, capacity = self.turns.experience.action.shape
        kept = jnp.minimum(self.added, capacity)
        slots: Int[Array, "B n"] = draw(
            partial(jax.random.randint, minval=0, maxval=kept), key, (users, per_user)
        )
        return slots

    def rows(self, slots: Int[Array, "B n"]) -> Any:
        """Rows [B x n] of the turns that lie there."""
        chosen = jax.tree.map(
            lambda ring: jax.vmap(lambda one, at: one[at])(ring, slots), self.turns.experience
        )
        return rows_of(chosen)


def empty_replay(rollout: Any, capacity: int) -> Replay:
    """A replay without turns, for rollouts of these shapes [T, B, ...].

    Raises:
        ValueError: if a rollout is longer than the ring.
    """
    if rollout.action.shape[0] > capacity:
        raise ValueError(f"a ring of {capacity} turns cannot hold a rollout of {rollout.action.shape[0]}")

    def empty(leaf: Array) -> Array:
        return jnp.zeros((leaf.shape[1], capacity, *leaf.shape[2:]), leaf.dtype)

    return Replay(Turns(jax.tree.map(empty, rollout)), jnp.int32(0))
