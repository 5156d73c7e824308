"""Sequence encoders of a user's history. Single user; callers `vmap`.

Every encoder keeps a memory that is carried along a session: `begin` reads a whole history once, `advance` reads
one interaction, `read` gives the features. The GRU's memory is its hidden state, so a turn costs one cell whatever
the length of the history; SASRec's is the window, which attention has to read anew.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float, Int

Memory = Any


PROFILE_DECAY = 0.9  # of the liked items' running mean, per interaction


@struct.dataclass
class GRUMemory:
    """Hidden state, and a running mean of the items liked: a short path from the history to the catalogue."""

    hidden: Float[Array, "hidden"]
    profile: Float[Array, "e"]


class GRUEncoder(nn.Module):
    """GRU over (item, feedback), as in GRU4Rec (Hidasi et al. 2016, arXiv 1511.06939), the feedback added.

    Beside the hidden state goes p <- 0.9 p + 0.1 feedback e, so that "more of what was liked" is linear in the
    features and need not be discovered through the recurrence.
    """

    hidden: int

    def setup(self) -> None:
        """Creates the cell."""
        self.cell = nn.GRUCell(self.hidden)

    def begin(
        self, items: Int[Array, "H"], embedded: Float[Array, "H e"], feedback: Float[Array, "H"], padding: int
    ) -> GRUMemory:
        """Memory after a whole history; padded slots leave it unchanged."""

        def read_slot(encoder: "GRUEncoder", memory: GRUMemory, slot: tuple) -> tuple[GRUMemory, None]:
            item, one, value = slot
            after = encoder.advance(memory, one, value)
            return jax.tree.map(lambda new, old: jnp.where(item != padding, new, old), after, memory), None

        empty = GRUMemory(jnp.zeros(self.hidden), jnp.zeros(embedded.shape[-1]))
        scan = nn.scan(read_slot, variable_broadcast="params", split_rngs={"params": False})
        return scan(self, empty, (items, embedded, feedback))[0]

    def advance(
        self, memory: GRUMemory, embedded: Float[Array, "e"], feedback: Float[Array, ""]
    ) -> GRUMemory:
        """Memory after one more interaction."""
        hidden = self.cell(memory.hidden, interaction_features(embedded, feedback))[0]
        profile = PROFILE_DECAY * memory.profile + (1.0 - PROFILE_DECAY) * feedback * embedded
        return GRUMemory(hidden, profile)

    def read(self, memory: GRUMemory) -> Float[Array, "hidden+e"]:
        """Features of the history; the profile is scaled to the size of the hidden state's entries."""
        return jnp.concatenate([memory.hidden, memory.profile * memory.profile.shape[-1] ** 0.5])


class SASRecEncoder(nn.Module):
    """Causal self-attention over the last H interactions (Kang and McAuley 2018, arXiv 1808.09781)."""

    hidden: int
    layers: int = 2
    heads: int = 2

    @nn.compact
    def __call__(
        self, present: Bool[Array, "H"], embedded: Float[Array, "H e"], feedback: Float[Array, "H"]
    ) -> Float[Array, "hidden"]:
        """Features at the most recent slot."""
        length = feedback.shape[0]
        inputs = nn.Dense(self.hidden)(jax.vmap(interaction_features)(embedded, feedback))
        stream = inputs + self.param("position", nn.initializers.normal(0.02), (length, self.hidden))
        # A padded slot sees itself, so that no row of the softmax is empty.
        visible = jnp.tril(jnp.ones((length, length), bool)) & present[None, :] | jnp.eye(length, dtype=bool)
        for _ in range(self.layers):
            normed = nn.LayerNorm()(stream)
            stream = stream + nn.MultiHeadDotProductAttention(self.heads)(normed, mask=visible[None])
            stream = stream + nn.Dense(self.hidden)(nn.relu(nn.Dense(self.hidden)(nn.LayerNorm()(stream))))
        return jnp.where(jnp.any(present), nn.LayerNorm()(stream)[-1], 0.0)


def interaction_features(embedded: Float[Array, "e"], feedback: Float[Array, ""]) -> Float[Array, "2e+1"]:
    """The item as liked, the item as disliked, and the feedback itself; feedback in [0, 1]."""
    return jnp.concatenate([embedded * feedback, embedded * (1.0 - feedback), feedback[None]])
