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

    The cell computes what flax's `GRUCell` does, with the three gates in one product and the inputs' products apart
    from the recurrence: a whole history needs them only once. It does not start orthogonal (docs/performance.md).
    """

    hidden: int

    def setup(self) -> None:
        """Creates the products of the three gates: reset, update, candidate."""
        self.from_input = nn.Dense(3 * self.hidden)
        self.from_hidden = nn.Dense(3 * self.hidden, use_bias=False)
        self.candidate_bias = self.param("candidate_bias", nn.initializers.zeros, (self.hidden,))

    def begin(
        self, items: Int[Array, "H"], embedded: Float[Array, "H e"], feedback: Float[Array, "H"], padding: int
    ) -> GRUMemory:
        """Memory after a whole history; padded slots leave it unchanged."""

        present = items != padding
        inputs = self.from_input(jax.vmap(interaction_features)(embedded, feedback))

        def read_slot(encoder: "GRUEncoder", hidden: Array, slot: tuple) -> tuple[Array, None]:
            gates, filled = slot
            return jnp.where(filled, encoder._cell(hidden, gates), hidden), None

        scan = nn.scan(read_slot, variable_broadcast="params", split_rngs={"params": False})
        hidden = scan(self, jnp.zeros(self.hidden), (inputs, present))[0]
        later = jnp.cumsum(present[::-1], dtype=jnp.float32)[::-1] - present.astype(jnp.float32)
        shares = jnp.where(present, (1.0 - PROFILE_DECAY) * PROFILE_DECAY**later * feedback, 0.0)
        return GRUMemory(hidden, shares @ embedded)

    def advance(
        self, memory: GRUMemory, embedded: Float[Array, "e"], feedback: Float[Array, ""]
    ) -> GRUMemory:
        """Memory after one more interaction."""
        hidden = self._cell(memory.hidden, self.from_input(interaction_features(embedded, feedback)))
        profile = PROFILE_DECAY * memory.profile + (1.0 - PROFILE_DECAY) * feedback * embedded
        return GRUMemory(hidden, profile)

    def _cell(self, hidden: Float[Array, "h"], inputs: Float[Array, "3*h"]) -> Float[Array, "h"]:
        """h' = (1 - z) n + z h with r, z = sigmoid(x_rz + h_rz) and n = tanh(x_n + r (h_n + b))."""
        input_reset, input_update, input_candidate = jnp.split(inputs, 3)
        reset, update, candidate = jnp.split(self.from_hidden(hidden), 3)
        update = nn.sigmoid(input_update + update)
        candidate = nn.tanh(
            input_candidate + nn.sigmoid(input_reset + reset) * (candidate + self.candidate_bias)
        )
        return (1.0 - update) * candidate + update * hidden

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
