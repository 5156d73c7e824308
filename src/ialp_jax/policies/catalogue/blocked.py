"""The catalogue head from its factors: the logits only ever exist in tiles."""

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.policies.catalogue.masking import MASKED, bounded, mask_logits, permitted
from ialp_jax.policies.catalogue.plan import HeadPlan, item_blocks
from ialp_jax.policies.catalogue.products import product
from ialp_jax.policies.catalogue.sampling import locate
from ialp_jax.policies.catalogue.softmax import HeadStatistics, chosen_logits, totals
from ialp_jax.policies.catalogue.tiles import (
    block_factors,
    block_start,
    over_items,
    over_rows,
    tile_logits,
)
from ialp_jax.serving.shares import draw
from ialp_jax.worlds.types import Limits


class BlockedDistribution(distrax.Distribution):
    """Categorical over N items whose logits <query, item> + bias are computed in tiles, again where needed.

    One pass at construction gives log-partition, entropy and the mass of every group of items. A draw chooses a
    group by those masses and recomputes the logits of its few items. Log-probabilities and entropy have gradients
    that recompute the logits in tiles as well.
    """

    def __init__(
        self,
        plan: HeadPlan,
        query: Float[Array, "R d"],
        items: Float[Array, "N d"],
        bias: Float[Array, "N"],
        limits: Limits,
    ) -> None:
        self._plan, self._query, self._items, self._bias = plan, query, items, bias
        self._limits = limits
        self._groups = item_blocks(items.shape[0], plan, grouped=True)
        self._blocks = item_blocks(items.shape[0], plan, grouped=False)
        self._log_total, self._entropy, self._masses = totals(plan, query, items, bias, limits)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw: a single item id."""
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the rows."""
        return self._query.shape[:1]

    @property
    def blocks(self) -> int:
        """Number of blocks that `log_probs` can be asked for."""
        return self._blocks.number

    def _sample_n(self, key: PRNGKeyArray, n: int) -> Int[Array, "n R"]:
        uniforms = draw(jax.random.uniform, key, (*self.batch_shape, n, 2))
        rows = (uniforms, self._query, self._masses, self._limits)
        return over_rows(self._plan.rows, self._draw, jax.lax.stop_gradient(rows)).T

    def _draw(self, rows) -> Int[Array, "R n"]:  # type: ignore[no-untyped-def]
        uniforms, query, masses, limits = rows
        several = jax.vmap(jax.vmap(locate, (0, None)))
        group = several(uniforms[..., 0], masses)

        def within(uniform: Array, chosen: Array) -> Array:
            weights, start = self._group_weights(query, chosen, limits)
            return start + jax.vmap(locate)(uniform, weights)

        return jax.vmap(within, 1, 1)(uniforms[..., 1], group)

    def _group_weights(self, query: Array, group: Array, limits: Limits) -> tuple[Array, Array]:
        """Weights of one group of items per row, relative to its heaviest item, and the group's first id."""
        groups, size = self._groups, self._groups.group
        block, place = jnp.divmod(group, groups.size // size)
        start = block_start(block, groups, self._items.shape[0]) + place * size
        ids = start[:, None] + jnp.arange(size, dtype=jnp.int32)[None]
        logits = product(self._items[ids], query[:, :, None], self._plan.matmul)[..., 0] + self._bias[ids]
        logits = jnp.where(ids < block[:, None] * groups.size, MASKED, logits)
        logits = mask_logits(logits, limits, start)
        return jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True)), start

    def log_prob(self, value: Int[Array, "*draws"]) -> Float[Array, "*draws"]:
        """Log-probability of item ids; their shape is broadcast against the rows'."""
        ids = jnp.broadcast_to(value, jnp.broadcast_shapes(value.shape, self.batch_shape))
        logits = bounded(chosen_logits(self._query, self._items, self._bias, ids, self._plan.matmul))
        return jnp.where(permitted(ids, self._limits), logits, MASKED) - jnp.broadcast_to(
            self._log_total, ids.shape
        )

    def entropy(self) -> Float[Array, "R"]:
        """Entropy in nats; masked items contribute nothing."""
        return self._entropy

    def statistics(self, value: Int[Array, "R"]) -> HeadStatistics:
        """Everything a policy gradient needs of these items."""
        return HeadStatistics(self.log_prob(value), self._entropy, self._log_total)

    def log_probs(self, block: Int[Array, ""] | int) -> tuple[Int[Array, "M"], Float[Array, "R M"]]:
        """Ids and log-probabilities of one block of items; ids seen in the block before have probability 0."""
        factors = block_factors(jnp.int32(block), self._blocks, self._items, self._bias)
        logits = tile_logits(self._plan, self._query, factors, self._limits)
        ids = factors[2] + jnp.arange(self._blocks.size, dtype=jnp.int32)
        return ids, logits - self._log_total[:, None]

    def mode(self) -> Int[Array, "R"]:
        """The most probable item (the lowest id among equals)."""
        return self.top_k(1)[:, 0]

    def top_k(self, k: int) -> Int[Array, "R k"]:
        """The k most probable items, best first; arbitrary ones where fewer than k may be recommended."""

        def one_block(block: Array) -> tuple[Array, Array]:
            factors = block_factors(block, self._blocks, self._items, self._bias)

            def one_tile(rows):  # type: ignore[no-untyped-def]
                best, places = jax.lax.top_k(
                    tile_logits(self._plan, rows[0], factors, rows[1]), min(k, self._blocks.size)
                )
                return best, places.astype(jnp.int32) + factors[2]

            return over_rows(self._plan.rows, one_tile, (self._query, self._limits))

        best, ids = (
            jnp.moveaxis(array, 0, 1).reshape(len(self._query), -1)
            for array in over_items(self._blocks, one_block)
        )
        return jnp.take_along_axis(ids, jax.lax.top_k(best, k)[1].astype(jnp.int32), axis=1)
