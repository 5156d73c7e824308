"""A recurrence."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.encoders.base import Embed, Encoder, Recall, keep, register
from ialp_jax.policies.encoders.inputs import interaction_features
from ialp_jax.worlds.types import Observation

PROFILE_DECAY = 0.9  # of the liked items' running mean, per interaction


@register("gru")
class GRUEncoder(Encoder):
    """GRU over (item, feedback), as in GRU4Rec (Hidasi et al. 2016, arXiv 1511.06939), the feedback added.

    The features are its hidden state and, a short path from the history to the catalogue, a running mean of the
    items liked: p <- 0.9 p + 0.1 sqrt(e) feedback item, scaled to the size of the hidden state's entries, so that
    "more of what was liked" is linear in the features and need not be discovered through the recurrence.

    The cell computes what flax's `GRUCell` does, with the three gates in one product and the inputs' products apart
    from the recurrence: a whole history needs them only once. It does not start orthogonal (docs/performance.md).
    The backward pass computes the cheap rest of a step again, no product among it: a turn leaves half as much behind.
    """

    recomputes: ClassVar[bool] = True

    def setup(self) -> None:
        """Creates the products of the three gates: reset, update, candidate."""
        hidden = self.config.hidden
        self.from_input = nn.Dense(3 * hidden)
        self.from_hidden = nn.Dense(3 * hidden, use_bias=False)
        self.candidate_bias = self.param("candidate_bias", nn.initializers.zeros, (hidden,))

    def begin(self, observation: Observation, embed: Embed) -> Recall:
        """Reads a whole history at once; padded slots leave the features [hidden+e] unchanged."""
        embedded, feedback = embed(observation.items), observation.feedback
        present = observation.items != self.num_items
        inputs = self.from_input(jax.vmap(interaction_features)(embedded, feedback))

        def read_slot(encoder: "GRUEncoder", hidden: Array, slot: tuple) -> tuple[Array, None]:
            gates, filled = slot
            return jnp.where(filled, encoder._cell(hidden, gates), hidden), None

        scan = nn.scan(read_slot, variable_broadcast="params", split_rngs={"params": False})
        hidden = scan(self, jnp.zeros(self.config.hidden), (inputs, present))[0]
        later = jnp.cumsum(present[::-1], dtype=jnp.float32)[::-1] - present.astype(jnp.float32)
        shares = jnp.where(present, PROFILE_DECAY**later, 0.0)
        return Recall(jnp.concatenate([hidden, shares @ jax.vmap(_liking)(embedded, feedback)]))

    def advance(
        self,
        recall: Recall,
        item: Int[Array, ""],
        feedback: Float[Array, ""],
        appended: Bool[Array, ""],
        embed: Embed,
    ) -> Recall:
        """One step."""
        embedded, width = embed(item), self.config.hidden
        hidden, profile = keep(recall.features[:width]), recall.features[width:]
        hidden = self._cell(hidden, self.from_input(interaction_features(embedded, feedback)))
        features = jnp.concatenate([hidden, PROFILE_DECAY * profile + _liking(embedded, feedback)])
        return Recall(jnp.where(appended, features, recall.features))

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
