"""Sequence encoders of a user's history. Single user; callers `vmap`.

The GRU's features are all it remembers: `begin` reads a whole history once, `advance` one interaction, so a turn
costs one cell whatever the length of the history. SASRec's attention has to read its window anew every turn.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

PROFILE_DECAY = 0.9  # of the liked items' running mean, per interaction
KEPT = "kept for the backward pass"
keep = partial(checkpoint_name, name=KEPT)
"""Marks what the backward pass reads; what lies between is computed again (`Network.advance`)."""


class GRUEncoder(nn.Module):
    """GRU over (item, feedback), as in GRU4Rec (Hidasi et al. 2016, arXiv 1511.06939), the feedback added.

    The features are its hidden state and, a short path from the history to the catalogue, a running mean of the
    items liked: p <- 0.9 p + 0.1 sqrt(e) feedback item, scaled to the size of the hidden state's entries, so that
    "more of what was liked" is linear in the features and need not be discovered through the recurrence.

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
    ) -> Float[Array, "hidden+e"]:
        """Features of a whole history; padded slots leave them unchanged."""
        present = items != padding
        inputs = self.from_input(jax.vmap(interaction_features)(embedded, feedback))

        def read_slot(encoder: "GRUEncoder", hidden: Array, slot: tuple) -> tuple[Array, None]:
            gates, filled = slot
            return jnp.where(filled, encoder._cell(hidden, gates), hidden), None

        scan = nn.scan(read_slot, variable_broadcast="params", split_rngs={"params": False})
        hidden = scan(self, jnp.zeros(self.hidden), (inputs, present))[0]
        later = jnp.cumsum(present[::-1], dtype=jnp.float32)[::-1] - present.astype(jnp.float32)
        shares = jnp.where(present, PROFILE_DECAY**later, 0.0)
        return jnp.concatenate([hidden, shares @ jax.vmap(_liking)(embedded, feedback)])

    def advance(
        self, features: Float[Array, "hidden+e"], embedded: Float[Array, "e"], feedback: Float[Array, ""]
    ) -> Float[Array, "hidden+e"]:
        """Features after one more interaction."""
        hidden, profile = keep(features[: self.hidden]), features[self.hidden :]
        hidden = self._cell(hidden, self.from_input(interaction_features(embedded, feedback)))
        return jnp.concatenate([hidden, PROFILE_DECAY * profile + _liking(embedded, feedback)])

    def _cell(self, hidden: Float[Array, "h"], inputs: Float[Array, "3*h"]) -> Float[Array, "h"]:
        """h' = (1 - z) n + z h with r, z = sigmoid(x_rz + h_rz) and n = tanh(x_n + r (h_n + b))."""
        input_reset, input_update, input_candidate = jnp.split(inputs, 3)
        reset, update, recalled = jnp.split(self.from_hidden(hidden), 3)
        reset = keep(nn.sigmoid(input_reset + reset))
        update = keep(nn.sigmoid(input_update + update))
        recalled = keep(recalled + self.candidate_bias)
        candidate = keep(nn.tanh(input_candidate + reset * recalled))
        return (1.0 - update) * candidate + update * hidden


def _liking(embedded: Float[Array, "e"], feedback: Float[Array, ""]) -> Float[Array, "e"]:
    """What one interaction adds to the running mean of the items liked."""
    return (1.0 - PROFILE_DECAY) * embedded.shape[-1] ** 0.5 * feedback * embedded


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


class SessionEncoder(nn.Module):
    """Sums over the opening history and over the session, each plain and by feedback, and a layer on top of them.

    What a ridge regression folds a user in from are such sums; a linear map of them to the query is at hand from the
    start, and need not be found through a recurrence. Nothing of the history is lost however long the session.
    """

    hidden: int

    @nn.compact
    def __call__(
        self,
        embedded: tuple[Float[Array, "H e"], Float[Array, "S e"]],
        feedback: tuple[Float[Array, "H"], Float[Array, "S"]],
        present: tuple[Bool[Array, "H"], Bool[Array, "S"]],
    ) -> Float[Array, "features"]:
        """Features of a session; padded slots, whose embeddings are zero, leave them unchanged."""
        sums = [values for vectors, grades in zip(embedded, feedback, strict=True)
                for values in (vectors.sum(axis=0), grades @ vectors)]  # fmt: skip
        counts = [jnp.stack([slots.sum(dtype=jnp.float32), grades.sum()]) / slots.shape[0]
                  for slots, grades in zip(present, feedback, strict=True)]  # fmt: skip
        short = jnp.concatenate([*(SUM_SCALE * values for values in sums), *counts])
        return jnp.concatenate([nn.relu(nn.Dense(self.hidden)(short)), short])


SUM_SCALE = 0.5  # embeddings have a norm of about 1: sums of ten then have entries of about 1
