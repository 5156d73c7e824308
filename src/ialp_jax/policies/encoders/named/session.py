"""Sums over a whole session."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.encoders.base import Embed, RereadingEncoder, register
from ialp_jax.policies.memory import Memory, opened
from ialp_jax.worlds.types import Observation

SUM_SCALE = 0.5  # embeddings have a norm of about 1: sums of ten then have entries of about 1


@register("session")
class SessionEncoder(RereadingEncoder):
    """Sums over the opening history and over the session, each plain and by feedback, and a layer on top of them.

    What a ridge regression folds a user in from are such sums; a linear map of them to the query is at hand from the
    start, and need not be found through a recurrence. Nothing of the history is lost however long the session.
    """

    def opened(self, observation: Observation) -> Memory:
        """The session with room for `session_slots` interactions."""
        return opened(observation, self.config.session_slots, self.num_items)

    def after(
        self, carried: Memory, item: Int[Array, ""], feedback: Float[Array, ""], appended: Bool[Array, ""]
    ) -> Memory:
        """The session after one more interaction."""
        return carried.after(item, feedback, appended)

    @nn.compact
    def read(self, carried: Memory, embed: Embed) -> Float[Array, "features"]:
        """Features of a session; padded slots leave them unchanged."""
        known = carried.known
        items = known.items, carried.items
        embedded = tuple(embed(ids) for ids in items)
        present = tuple(ids != self.num_items for ids in items)
        feedback = tuple(jnp.where(slots, grades, 0.0)
                         for slots, grades in zip(present, (known.feedback, carried.feedback), strict=True))  # fmt: skip
        sums = [values for vectors, grades in zip(embedded, feedback, strict=True)
                for values in (vectors.sum(axis=0), grades @ vectors)]  # fmt: skip
        counts = [jnp.stack([slots.sum(dtype=jnp.float32), grades.sum()]) / slots.shape[0]
                  for slots, grades in zip(present, feedback, strict=True)]  # fmt: skip
        short = jnp.concatenate([*(SUM_SCALE * values for values in sums), *counts])
        return jnp.concatenate([nn.relu(nn.Dense(self.config.hidden)(short)), short])
