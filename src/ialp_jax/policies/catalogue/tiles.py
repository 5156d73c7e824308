"""The logits in tiles of rows x items: what is summed over a tile, and how tiles are put together."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ialp_jax.policies.catalogue.masking import MASKED, mask_logits
from ialp_jax.policies.catalogue.plan import HeadPlan, ItemBlocks
from ialp_jax.policies.catalogue.products import product
from ialp_jax.worlds.types import Limits


class Partials(NamedTuple):
    """Sums over each item block, relative to the largest logit `top` of the row in that block.

    Attributes:
        top: largest logit.
        masses: sum of exp(logit - top) over each group.
        moment: sum of exp(logit - top) (logit - top) over the block.
    """

    top: Float[Array, "blocks R"]
    masses: Float[Array, "blocks R groups"]
    moment: Float[Array, "blocks R"]


class Totals(NamedTuple):
    """The whole rows.

    Attributes:
        log_total: logarithm of the summed exponentials.
        entropy: in nats.
        masses: share of each group, up to a factor per row.
    """

    log_total: Float[Array, "R"]
    entropy: Float[Array, "R"]
    masses: Float[Array, "R blocks*groups"]


def block_start(block: Int[Array, ""] | int, blocks: ItemBlocks, num_items: int) -> Array:
    """First item of a block: the last block reaches back so that all have the same size."""
    return jnp.minimum(jnp.asarray(block, jnp.int32) * blocks.size, num_items - blocks.size)


def block_factors(
    block: Int[Array, ""], blocks: ItemBlocks, items: Float[Array, "N d"], bias: Float[Array, "N"]
) -> tuple[Array, Array, Array]:
    """(embeddings [M, d], biases [M], first id) of a block; items of the block before are biased out."""
    start = block_start(block, blocks, items.shape[0])
    cut = lambda array: jax.lax.dynamic_slice_in_dim(array, start, blocks.size)  # noqa: E731
    fresh = start + jnp.arange(blocks.size, dtype=jnp.int32) >= block * blocks.size
    return cut(items), jnp.where(fresh, cut(bias), 2.0 * MASKED), start


def tile_logits(
    plan: HeadPlan, query: Float[Array, "R d"], factors: tuple[Array, Array, Array], limits: Limits
) -> Float[Array, "R M"]:
    """Masked logits of some rows and one item block."""
    items, bias, start = factors
    return mask_logits(product(query, items.T, plan.matmul) + bias[None, :], limits, start)


def over_rows(most: int, function: Callable[[Any], Any], rows: Any) -> Any:
    """`function` of the rows in tiles of at most `most`; padding repeats row 0 and is cut off again."""
    total = jax.tree.leaves(rows)[0].shape[0]
    if total <= most:
        return function(rows)
    tiled = jax.lax.map(function, row_tiles(most, rows))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:total], tiled)


def row_tiles(most: int, rows: Any) -> Any:
    """Splits the leading axis into [tiles, size]; padding repeats row 0."""
    total = jax.tree.leaves(rows)[0].shape[0]
    tiles = -(-total // most)
    size = -(-total // tiles)
    index = jnp.arange(tiles * size, dtype=jnp.int32)
    index = jnp.where(index < total, index, 0)

    def split(leaf: Array) -> Array:
        whole = leaf if tiles * size == total else leaf[index]
        return whole.reshape(tiles, size, *leaf.shape[1:])

    return jax.tree.map(split, rows)


def over_items(blocks: ItemBlocks, function: Callable[[Array], Any]) -> Any:
    """Stacks `function` of every block."""
    if blocks.number == 1:
        return jax.tree.map(lambda leaf: leaf[None], function(jnp.int32(0)))
    return jax.lax.map(function, jnp.arange(blocks.number, dtype=jnp.int32))


def tile_partials(logits: Float[Array, "R M"], group: int) -> tuple[Array, Array, Array]:
    """(top [R], masses [R, M / group], moment [R]) of one tile."""
    top = jnp.max(logits, axis=1)
    shifted = logits - top[:, None]
    weights = jnp.exp(shifted)
    # As a product: under vmap over one run, XLA's CPU backend takes ten times as long for the sum of products.
    moment = jnp.einsum("rm,rm->r", weights, shifted)
    return top, weights.reshape(len(logits), -1, group).sum(axis=2), moment


def combine(partials: Partials) -> Totals:
    """Puts the blocks of each row together.

    With m the largest logit, w = exp(l - m) and Z = sum w: log_total = m + log Z, and H = log Z - sum w (l - m) / Z;
    a block's own sums, taken relative to its own top t, enter with the factor exp(t - m).
    """
    top = jnp.max(partials.top, axis=0)
    gap = partials.top - top[None]
    scale = jnp.exp(gap)
    masses = jnp.sum(partials.masses, axis=2)
    total = jnp.sum(scale * masses, axis=0)
    moment = jnp.sum(scale * (partials.moment + gap * masses), axis=0)
    groups = jnp.moveaxis(partials.masses * scale[:, :, None], 0, 1).reshape(len(top), -1)
    return Totals(top + jnp.log(total), jnp.log(total) - moment / total, groups)
