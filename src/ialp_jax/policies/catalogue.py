"""The catalogue head: a categorical distribution over N items, the hot loop of everything.

`CatalogueDistribution` is the one interface (sample, log_prob, entropy, mode, top_k). `head_statistics` gives the
log-probabilities and entropies a policy gradient needs without ever holding a rows x N array in memory.
"""

from functools import partial

import distrax
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

MASKED = -1e30  # finite, so that exp is exactly 0 and no inf - inf ever appears
BLOCK_ITEMS = 64


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


class CatalogueDistribution(distrax.Distribution):
    """Categorical over items from logits of shape [..., N]; masked items carry the logit `MASKED`.

    Sampling is two-level inverse-CDF: one uniform number per row chooses a block of items by its mass, then an
    item of the block. `distrax.Categorical` draws N Gumbel numbers per row, which costs more than the softmax.
    All methods share one exponential per item.
    """

    def __init__(self, logits: Float[Array, "*batch N"]) -> None:
        self._logits = logits
        top = jnp.max(logits, axis=-1, keepdims=True)
        self._weights = jnp.exp(logits - top)
        self._mass = jnp.sum(self._weights, axis=-1)
        self._log_total = jnp.log(self._mass) + top[..., 0]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw: a single item id."""
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the rows."""
        return self._logits.shape[:-1]

    @property
    def logits(self) -> Float[Array, "*batch N"]:
        """Unnormalised log-probabilities."""
        return self._logits

    def _sample_n(self, key: PRNGKeyArray, n: int) -> Int[Array, "n *batch"]:
        uniform = jax.random.uniform(key, (n, *self.batch_shape))
        draw = jnp.vectorize(inverse_cdf, signature="(),(m)->()")
        return draw(uniform, jnp.broadcast_to(self._weights, (n, *self._weights.shape)))

    def log_prob(self, value: Int[Array, "*draws"]) -> Float[Array, "*draws"]:
        """Log-probability of item ids; their shape is broadcast against the rows'."""
        shape = jnp.broadcast_shapes(value.shape, self.batch_shape)
        logits = jnp.broadcast_to(self._logits, (*shape, self._logits.shape[-1]))
        chosen = jnp.take_along_axis(logits, jnp.broadcast_to(value, shape)[..., None], axis=-1)[..., 0]
        return chosen - jnp.broadcast_to(self._log_total, shape)

    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy in nats; masked items contribute nothing."""
        return self._log_total - jnp.sum(self._weights * self._logits, axis=-1) / self._mass

    def statistics(self, value: Int[Array, "*batch"]) -> HeadStatistics:
        """Everything a policy gradient needs of these items, while the logits are at hand."""
        return HeadStatistics(self.log_prob(value), self.entropy(), self._log_total)

    def mode(self) -> Int[Array, "*batch"]:
        """The most probable item (the lowest id among equals)."""
        return jnp.argmax(self._logits, axis=-1).astype(jnp.int32)

    def top_k(self, k: int) -> Int[Array, "*batch k"]:
        """The k most probable items, best first."""
        return jax.lax.top_k(self._logits, k)[1].astype(jnp.int32)


def inverse_cdf(uniform: Float[Array, ""], weights: Float[Array, "N"]) -> Int[Array, ""]:
    """Item whose interval of the cumulative weights holds `uniform` in [0, 1); zero weights are never chosen."""
    whole = weights.shape[0] // BLOCK_ITEMS * BLOCK_ITEMS
    masses = jnp.sum(weights[:whole].reshape(-1, BLOCK_ITEMS), axis=1)
    if whole < weights.shape[0]:  # the last, shorter block apart: padding would copy all the weights
        masses = jnp.append(masses, jnp.sum(weights[whole:]))
    block, rest = _locate(uniform, masses)
    slots = block * BLOCK_ITEMS + jnp.arange(BLOCK_ITEMS, dtype=jnp.int32)
    item, _ = _locate(rest, weights.at[slots].get(mode="fill", fill_value=0.0))
    return block * BLOCK_ITEMS + item


def _locate(uniform: Float[Array, ""], weights: Float[Array, "m"]) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """Index of the interval that holds `uniform`, and where in the interval it lies, in [0, 1)."""
    edges, filled = jnp.cumsum(weights), weights > 0.0
    # A parallel prefix sum rounds by position: it need not ascend, and may step up at a slot of weight 0.
    total = jnp.max(edges, initial=0.0, where=filled)
    target = jnp.minimum(uniform * total, jnp.nextafter(total, 0.0))
    slots = jnp.arange(weights.shape[0], dtype=jnp.int32)
    index = jnp.min(jnp.where(filled & (edges > target), slots, weights.shape[0] - 1))
    left = edges[index] - weights[index]
    rest = (target - left) / weights[index]
    return index, jnp.clip(rest, 0.0, 1.0 - 2.0**-24)


def mask_logits(
    logits: Float[Array, "R N"], excluded: Int[Array, "R E"], allowed: Int[Array, "R K"]
) -> Float[Array, "R N"]:
    """Sets the logits of items that may not be recommended to `MASKED` (padding id N is ignored)."""
    rows = jnp.arange(logits.shape[0], dtype=jnp.int32)[:, None]
    if allowed.shape[1]:
        permitted = jnp.zeros(logits.shape, bool).at[rows, allowed].set(True, mode="drop")
        logits = jnp.where(permitted, logits, MASKED)
    return logits.at[rows, excluded].set(MASKED, mode="drop")


def catalogue_logits(
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    excluded: Int[Array, "R E"],
    allowed: Int[Array, "R K"],
) -> Float[Array, "R N"]:
    """Masked logits <query, item> + bias of every item."""
    return mask_logits(query @ items.T + bias[None, :], excluded, allowed)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def head_statistics(
    block_rows: int,
    query: Float[Array, "R d"],
    items: Float[Array, "N d"],
    bias: Float[Array, "N"],
    actions: Int[Array, "R"],
    excluded: Int[Array, "R E"],
    allowed: Int[Array, "R K"],
    known: HeadStatistics | None = None,
) -> tuple[Float[Array, "R"], Float[Array, "R"]]:
    """Log-probability of each row's action and each row's entropy, in blocks of rows.

    The backward pass recomputes the logits block by block, so neither pass holds an R x N array: memory is
    block_rows x N. The block size was chosen by measurement (docs/performance.md).

    Args:
        block_rows: rows per block; the last block is padded.
        query: what the policy looks for, one row per decision.
        items: item embeddings.
        bias: item biases.
        actions: item ids.
        excluded: items that may not be recommended.
        allowed: if it has columns, the only items that may be.
        known: the statistics, if the rollout has computed them with these same parameters; the forward pass is
            then free.

    Returns:
        (log_prob, entropy), each [R].
    """
    return _forward(block_rows, query, items, bias, actions, excluded, allowed, known)[0]


def _in_blocks(block_rows: int, rows: tuple[Array, ...]) -> tuple[tuple[Array, ...], int]:
    """Splits the leading axis into [blocks, block_rows]; padding repeats row 0, whose cotangents are then zero."""
    total = rows[0].shape[0]
    size = min(block_rows, total)
    blocks = -(-total // size)
    index = jnp.arange(blocks * size)
    index = jnp.where(index < total, index, 0)
    return tuple(array[index].reshape(blocks, size, *array.shape[1:]) for array in rows), total


def _forward(block_rows, query, items, bias, actions, excluded, allowed, known):  # type: ignore[no-untyped-def]
    if known is None:

        def statistics(block):  # type: ignore[no-untyped-def]
            return CatalogueDistribution(
                catalogue_logits(block[0], items, bias, block[2], block[3])
            ).statistics(block[1])

        blocks, total = _in_blocks(block_rows, (query, actions, excluded, allowed))
        known = jax.tree.map(lambda output: output.reshape(-1)[:total], jax.lax.map(statistics, blocks))
    residuals = (query, items, bias, actions, excluded, allowed, known.log_total, known.entropy)
    return (known.log_prob, known.entropy), residuals


def _backward(block_rows, residuals, cotangents):  # type: ignore[no-untyped-def]
    query, items, bias, actions, excluded, allowed, log_total, entropy = residuals
    rows = (query, actions, excluded, allowed, log_total, entropy, *cotangents)
    blocks, total = _in_blocks(block_rows, rows)
    filled = (jnp.arange(blocks[0].shape[0] * blocks[0].shape[1]) < total).reshape(blocks[0].shape[:2])

    def accumulate(gradients, inputs):  # type: ignore[no-untyped-def]
        (block_query, action, out, only, log_mass, block_entropy, d_log_prob, d_entropy), real = inputs
        d_log_prob, d_entropy = d_log_prob * real, d_entropy * real
        log_probs = catalogue_logits(block_query, items, bias, out, only) - log_mass[:, None]
        probs = jnp.exp(log_probs)
        # d log p_a = onehot - p;  d H = -p (log p + H)
        d_logits = -probs * (d_log_prob[:, None] + d_entropy[:, None] * (log_probs + block_entropy[:, None]))
        d_logits = d_logits.at[jnp.arange(action.shape[0]), action].add(d_log_prob)
        d_items, d_bias = gradients
        return (d_items + d_logits.T @ block_query, d_bias + jnp.sum(d_logits, axis=0)), d_logits @ items

    start = (jnp.zeros_like(items), jnp.zeros_like(bias))
    (d_items, d_bias), d_query = jax.lax.scan(accumulate, start, (blocks, filled.astype(query.dtype)))
    d_query = d_query.reshape(-1, query.shape[1])[:total]
    return d_query, d_items, d_bias, None, None, None, None


head_statistics.defvjp(_forward, _backward)
