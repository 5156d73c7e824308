"""Self-attention over the window."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ialp_jax.policies.encoders.attention import attention_block, causal_mask
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
        visible = causal_mask(present)
        for _ in range(self.layers):
            stream = attention_block(stream, visible, self.heads)
        return jnp.where(jnp.any(present), nn.LayerNorm()(stream)[-1], 0.0)
