"""Self-attention over the window."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ialp_jax.policies.encoders.base import Embed, RereadingEncoder, register
from ialp_jax.policies.encoders.inputs import interaction_features
from ialp_jax.worlds.types import Observation


@register("sasrec")
class SASRecEncoder(RereadingEncoder):
    """Causal self-attention over the last H interactions (Kang and McAuley 2018, arXiv 1808.09781)."""

    layers: int = 2
    heads: int = 2

    @nn.compact
    def read(self, carried: Observation, embed: Embed) -> Float[Array, "hidden"]:
        """Features at the most recent slot of a window."""
        present, length, width = carried.items != self.num_items, carried.items.shape[0], self.config.hidden
        inputs = nn.Dense(width)(jax.vmap(interaction_features)(embed(carried.items), carried.feedback))
        stream = inputs + self.param("position", nn.initializers.normal(0.02), (length, width))
        # A padded slot sees itself, so that no row of the softmax is empty.
        visible = jnp.tril(jnp.ones((length, length), bool)) & present[None, :] | jnp.eye(length, dtype=bool)
        for _ in range(self.layers):
            normed = nn.LayerNorm()(stream)
            stream = stream + nn.MultiHeadDotProductAttention(self.heads)(normed, mask=visible[None])
            stream = stream + nn.Dense(width)(nn.relu(nn.Dense(width)(nn.LayerNorm()(stream))))
        return jnp.where(jnp.any(present), nn.LayerNorm()(stream)[-1], 0.0)
