"""Log-partition and entropy of every row, in tiles both ways: no rows x N array, forward or backward."""

from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from ialp_jax.policies.catalogue.plan import HeadPlan, item_blocks
from ialp_jax.policies.catalogue.products import Matmul, cotangent_terms, product, rounded
from ialp_jax.policies.catalogue.tiles import (
    Partials,
    Totals,
    block_factors,
    combine,
    over_items,
    over_rows,
    row_tiles,
    tile_logits,
    tile_partials,
)
from ialp_jax.worlds.types import Limits


@struct.dataclass
class HeadStatistics:
    """What a policy gradient needs of one decision per row.

    Attributes:
        log_prob: log-probability of the recommended item.
        entropy: of the whole distribution, in nats.
        log_total: logarithm of the summed exponentials of the logits, from which the backward pass goes on.
    """

    log_prob: Float[Array, "*batch"]
    entropy: Float[Array, "*batch"]
    log_total: Float[Array, "*batch"]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def totals(
    plan: HeadPlan,
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    limits: Limits,
) -> Totals:
    """The softmax of every row without its probabilities; differentiable in log_total and entropy.

    Args:
        plan: tiles and type of the products; dense is computed as blocked.
        query: one row per decision.
        items: item embeddings.
        bias: item biases.
        limits: what may be recommended, [R] rows.
    """
    return combine(_partials(plan, query, items, bias, limits))


def _partials(plan, query, items, bias, limits):  # type: ignore[no-untyped-def]
    blocks = item_blocks(items.shape[0], plan, grouped=True)

    def one_block(block: Array) -> Partials:
        factors = block_factors(block, blocks, items, bias)

        def one_tile(rows):  # type: ignore[no-untyped-def]
            return tile_partials(tile_logits(plan, rows[0], factors, rows[1]), blocks.group)

        return Partials(*over_rows(plan.rows, one_tile, (query, limits)))

    return over_items(blocks, one_block)


def _totals_forward(plan, query, items, bias, limits):  # type: ignore[no-untyped-def]
    result = totals(plan, query, items, bias, limits)
    return result, (query, items, bias, limits, result.log_total, result.entropy)


def _totals_backward(plan, residuals, cotangents):  # type: ignore[no-untyped-def]
    query, items, bias, limits, log_total, entropy = residuals
    factors = (query, items, bias)
    return *logit_gradients(
        plan, factors, limits, (log_total, entropy), (cotangents.log_total, cotangents.entropy)
    ), None


totals.defvjp(_totals_forward, _totals_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def known_totals(
    plan: HeadPlan,
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    limits: Limits,
    known: tuple[Float[Array, "R"], Float[Array, "R"]],
) -> tuple[Float[Array, "R"], Float[Array, "R"]]:
    """(log_total, entropy) as `totals` gives them, where they are known already; the gradients are the same."""
    return known


def _known_forward(plan, query, items, bias, limits, known):  # type: ignore[no-untyped-def]
    return known, (query, items, bias, limits, known)


def _known_backward(plan, residuals, cotangents):  # type: ignore[no-untyped-def]
    query, items, bias, limits, known = residuals
    return *logit_gradients(plan, (query, items, bias), limits, known, cotangents), None, None


known_totals.defvjp(_known_forward, _known_backward)


def logit_gradients(plan, factors, limits, known, cotangents):  # type: ignore[no-untyped-def]
    """Gradients with respect to query, items and bias, from logits recomputed tile by tile.

    Args:
        plan: tiles.
        factors: (query [R, d], items [N, d], bias [N]).
        limits: what may be recommended, [R] rows.
        known: (log_total [R], entropy [R]) of the forward pass.
        cotangents: of those two.
    """
    query, items, bias = factors
    rows = row_tiles(plan.rows, (query, limits, known))
    tiles, size = rows[0].shape[:2]
    # The padding of `row_tiles` repeats row 0: it must carry no cotangent.
    real = (jnp.arange(tiles * size) < query.shape[0]).astype(jnp.float32).reshape(tiles, size)
    cotangents = jax.tree.map(lambda leaf: leaf * real, row_tiles(plan.rows, cotangents))
    blocks = item_blocks(items.shape[0], plan, grouped=False)

    def one_block(d_query: Array, block: Array) -> tuple[Array, tuple[Array, Array]]:
        block_items, block_bias, start = block_factors(block, blocks, items, bias)

        def one_tile(gradients, inputs):  # type: ignore[no-untyped-def]
            (tile_query, tile_limits, tile_known), tile_cotangents, d_tile = inputs
            logits = tile_logits(plan, tile_query, (block_items, block_bias, start), tile_limits)
            d_logits = _logit_cotangents(logits, tile_known, tile_cotangents)
            terms = cotangent_terms(d_logits, plan.matmul)
            # This side up: the other way round the product took 1.7 times as long at width 64.
            d_items = reduce(add, (product(tile_query.T, term, plan.matmul) for term in terms), gradients[0])
            d_tile = reduce(add, (product(term, block_items, plan.matmul) for term in terms), d_tile)
            return (d_items, gradients[1] + jnp.sum(d_logits, axis=0)), d_tile

        start_at = (jnp.zeros_like(block_items).T, jnp.zeros_like(block_bias))
        gradients, d_query = jax.lax.scan(one_tile, start_at, (rows, cotangents, d_query))
        return d_query, (gradients[0].T, gradients[1])

    d_query = jnp.zeros((tiles, size, query.shape[1]))
    d_query, (d_items, d_bias) = jax.lax.scan(one_block, d_query, jnp.arange(blocks.number, dtype=jnp.int32))
    overlap = blocks.number * blocks.size - items.shape[0]
    d_query = d_query.reshape(-1, query.shape[1])[: query.shape[0]]
    return d_query, _join(d_items, overlap), _join(d_bias, overlap)


def _logit_cotangents(logits: Array, known: tuple[Array, Array], cotangents: tuple[Array, Array]) -> Array:
    """d log Z / d l = p and d H / d l = -p (log p + H)."""
    log_total, entropy, d_total, d_entropy = (row[:, None] for row in (*known, *cotangents))
    log_probs = logits - log_total
    return jnp.exp(log_probs) * (d_total - d_entropy * (log_probs + entropy))


def _join(pieces: Array, overlap: int) -> Array:
    """Blocks [count, M, ...] as [N, ...]: the last one without the items that the block before it has."""
    whole = pieces[:-1].reshape(-1, *pieces.shape[2:])
    return jnp.concatenate([whole, pieces[-1, overlap:]])


def chosen_logits(
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    ids: Int[Array, "*draws R"],
    matmul: Matmul = "float32",
) -> Float[Array, "*draws R"]:
    """Unmasked logits of one item per row, of factors rounded as `product` rounds them."""
    chosen = rounded(items[ids], matmul)
    return jnp.sum(jnp.broadcast_to(rounded(query, matmul), chosen.shape) * chosen, axis=-1) + bias[ids]
