"""The blocked head's forward pass as one Pallas kernel, for GPUs and TPUs.

Every cell of the grid takes some rows and one group of items, multiplies, masks, and writes three numbers per row: so
no logit reaches the device's main memory, and cells need no order among them (a GPU gives none). `combine` puts
the groups together as it does for the tiles of the blocked head, whose backward pass serves both.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas.triton import CompilerParams as TritonParams
from jaxtyping import Array, Float, Int

from ialp_jax.policies.catalogue.masking import MASKED
from ialp_jax.policies.catalogue.plan import HeadPlan, ItemBlocks, item_blocks
from ialp_jax.policies.catalogue.tiles import Partials, block_factors


def kernel_partials(
    plan: HeadPlan,
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    excluded: Int[Array, "R E"],
    allowed: Int[Array, "R K"],
    backend: str | None = None,
) -> Partials:
    """`Partials` with one group per block.

    Triton wants powers of two: of rows and items per cell, and of the embedding's width.

    Args:
        plan: `rows` and `group` are the sizes of a cell; `matmul` the type of the factors.
        query: one row per decision.
        items: item embeddings.
        bias: item biases.
        excluded: items that may not be recommended.
        allowed: if it has columns, the only items that may be.
        backend: what to compile for; the default backend if None. On "cpu" the kernel is interpreted (slow).
    """
    backend = backend or jax.default_backend()
    (rows, width), num_items, kind = query.shape, items.shape[0], jnp.dtype(plan.matmul)
    blocks, group, _ = item_blocks(num_items, plan, grouped=True)
    padded_rows = -(-rows // plan.rows) * plan.rows
    cut = jax.vmap(
        lambda block: block_factors(block, ItemBlocks(blocks, group, group), items.astype(kind), bias)
    )
    block_items, block_bias, _ = cut(jnp.arange(blocks, dtype=jnp.int32))
    operands = (
        jnp.pad(query.astype(kind), ((0, padded_rows - rows), (0, 0))),
        block_items.reshape(-1, width),
        block_bias.reshape(-1, 1),
        *(_columns(ids, padded_rows, num_items) for ids in (excluded, allowed)),
    )
    by_row = lambda leading: pl.BlockSpec((leading, plan.rows), lambda row, block: (0, row))  # noqa: E731
    by_item = lambda width: pl.BlockSpec((group, width), lambda row, block: (block, 0))  # noqa: E731
    sums = pl.pallas_call(
        partial(_cell, num_items, allowed.shape[1] > 0),
        grid=(padded_rows // plan.rows, blocks),
        in_specs=[
            pl.BlockSpec((plan.rows, width), lambda row, block: (row, 0)), by_item(width), by_item(1),
            by_row(operands[3].shape[0]), by_row(operands[4].shape[0]),
        ],
        out_specs=[pl.BlockSpec((1, 1, plan.rows), lambda row, block: (block, 0, row))] * 3,
        out_shape=[jax.ShapeDtypeStruct((blocks, 1, padded_rows), jnp.float32)] * 3,
        interpret=backend == "cpu",
        compiler_params=TritonParams() if backend == "gpu" else None,
        name="catalogue_head",
    )(*operands)  # fmt: skip
    top, mass, moment = (array[:, 0, :rows] for array in sums)
    return Partials(top, mass[:, :, None], moment)


def _columns(ids: Int[Array, "R E"], padded_rows: int, num_items: int) -> Int[Array, "E R"]:
    """Lists of ids with rows last, as the kernel's lanes; at least one column, of padding."""
    columns = max(ids.shape[1], 1)
    fill = ((0, padded_rows - ids.shape[0]), (0, columns - ids.shape[1]))
    return jnp.pad(ids, fill, constant_values=num_items).T


def _cell(  # type: ignore[no-untyped-def]
    num_items, limited, query, items, bias, excluded, allowed, top_out, mass_out, moment_out
):
    """One group of items for some rows; items lie along the first axis, rows along the second."""
    logits = jnp.dot(items[...], query[...].T, preferred_element_type=jnp.float32) + bias[...]
    start = jnp.minimum(pl.program_id(1) * logits.shape[0], num_items - logits.shape[0])
    ids = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 0) + start

    def listed(lists):  # type: ignore[no-untyped-def]
        def one_more(column, found):  # type: ignore[no-untyped-def]
            return jnp.where(ids == lists[pl.ds(column, 1), :], 1, found)

        return jax.lax.fori_loop(0, lists.shape[0], one_more, jnp.zeros(ids.shape, jnp.int32)) > 0

    logits = jnp.where(listed(excluded), MASKED, logits)
    if limited:
        logits = jnp.where(listed(allowed), logits, MASKED)
    top = jnp.max(logits, axis=0, keepdims=True)
    shifted = logits - top
    weights = jnp.exp(shifted)
    top_out[0] = top
    mass_out[0] = jnp.sum(weights, axis=0, keepdims=True)
    moment_out[0] = jnp.sum(weights * shifted, axis=0, keepdims=True)
