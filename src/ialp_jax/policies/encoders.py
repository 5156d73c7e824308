"""Sequence encoders of a user's history. Single user; callers `vmap`.

Every encoder keeps a memory that is carried along a session: `begin` reads a whole history once, `advance` reads
one interaction, `read` gives the features. The GRU's memory is its hidden state, so a turn costs one cell whatever
the length of the history; SASRec's is the window, which attention has to read anew.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

Memory = Any


class GRUEncoder(nn.Module):
    """GRU over (item, feedback), as in GRU4Rec (Hidasi et al. 2016, arXiv 1511.06939), the feedback added."""

    hidden: int

    def setup(self) -> None:
        """Creates the cell."""
        self.cell = nn.GRUCell(self.hidden)

    def begin(
        self, items: Int[Array, "H"], embedded: Float[Array, "H e"], feedback: Float[Array, "H"], padding: int
    ) -> Float[Array, "hidden"]:
        """Memory after a whole history; padded slots leave it unchanged."""

        def read_slot(cell: nn.GRUCell, memory: Array, slot: tuple[Array, Array]) -> tuple[Array, None]:
            present, inputs = slot
            return jnp.where(present, cell(memory, inputs)[0], memory), None

        inputs = jax.vmap(interaction_features)(embedded, feedback)
        scan = nn.scan(read_slot, variable_broadcast="params", split_rngs={"params": False})
        return scan(self.cell, jnp.zeros(self.hidden), (items != padding, inputs))[0]

    def advance(
        self, memory: Array, item: Int[Array, ""], embedded: Float[Array, "e"], feedback: Float[Array, ""]
    ) -> Float[Array, "hidden"]:
        """Memory after one more interaction."""
        del item
        return self.cell(memory, interaction_features(embedded, feedback))[0]

    def read(self, memory: Array) -> Float[Array, "hidden"]:
        """Features of the history."""
        return memory


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
