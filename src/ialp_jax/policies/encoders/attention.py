"""The block of a transformer that several networks stack."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float


def causal_mask(present: Bool[Array, "T"]) -> Bool[Array, "T T"]:
    """Which slots each of T slots sees: those that are present and not after it.

    Every slot sees itself, a padded one too, so that no row of the softmax is empty.
    """
    length = present.shape[0]
    return jnp.tril(jnp.ones((length, length), bool)) & present[None, :] | jnp.eye(length, dtype=bool)


def attention_block(
    stream: Float[Array, "T width"], visible: Bool[Array, "T T"], heads: int
) -> Float[Array, "T width"]:
    """Attention and a layer of the same width, each on what was normalised and added to what was there.

    To be called in a compact method of a module, which then owns the parameters.

    Args:
        stream: what stands in each slot.
        visible: which slots each slot sees.
        heads: a divisor of the width.
    """
    width = stream.shape[1]
    normed = nn.LayerNorm()(stream)
    stream = stream + nn.MultiHeadDotProductAttention(heads)(normed, mask=visible[None])
    return stream + nn.Dense(width)(nn.relu(nn.Dense(width)(nn.LayerNorm()(stream))))
