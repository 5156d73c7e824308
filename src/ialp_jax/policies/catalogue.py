"""The catalogue head: a categorical distribution over N items, the hot loop of everything.

`CatalogueDistribution` is the one interface (sample, log_prob, entropy, mode, top_k). `head_statistics` gives the
log-probabilities and entropies a policy gradient needs without ever holding a rows x N array in memory.
"""

from functools import partial

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

MASKED = -1e30  # finite, so that exp is exactly 0 and no inf - inf ever appears
BLOCK_ITEMS = 64


class CatalogueDistribution(distrax.Distribution):
    """Categorical over items from logits of shape [..., N]; masked items carry the logit `MASKED`.

    Sampling is two-level inverse-CDF: one uniform number per row chooses a block of items by its mass, then an
    item of the block. `distrax.Categorical` draws N Gumbel numbers per row, which costs more than the softmax.
    """

    def __init__(self, logits: Float[Array, "*batch N"]) -> None:
        self._logits = logits
        self._log_total = jax.nn.logsumexp(logits, axis=-1)

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
        weights = jnp.exp(self._logits - jnp.max(self._logits, axis=-1, keepdims=True))
        draw = jnp.vectorize(inverse_cdf, signature="(),(m)->()")
        return draw(uniform, jnp.broadcast_to(weights, (n, *weights.shape)))

    def log_prob(self, value: Int[Array, "*draws"]) -> Float[Array, "*draws"]:
        """Log-probability of item ids; their shape is broadcast against the rows'."""
        shape = jnp.broadcast_shapes(value.shape, self.batch_shape)
        logits = jnp.broadcast_to(self._logits, (*shape, self._logits.shape[-1]))
        chosen = jnp.take_along_axis(logits, jnp.broadcast_to(value, shape)[..., None], axis=-1)[..., 0]
        return chosen - jnp.broadcast_to(self._log_total, shape)

    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy in nats; masked items contribute nothing."""
        log_probs = self._logits - self._log_total[..., None]
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)

    def mode(self) -> Int[Array, "*batch"]:
        """The most probable item (the lowest id among equals)."""
        return jnp.argmax(self._logits, axis=-1).astype(jnp.int32)

    def top_k(self, k: int) -> Int[Array, "*batch k"]:
        """The k most probable items, best first."""
        return jax.lax.top_k(self._logits, k)[1].astype(jnp.int32)


def inverse_cdf(uniform: Float[Array, ""], weights: Float[Array, "N"]) -> Int[Array, ""]:
    """Item whose interval of the cumulative weights holds `uniform` in [0, 1); zero weights are never chosen."""
    blocks = -(-weights.shape[0] // BLOCK_ITEMS)
    padded = jnp.pad(weights, (0, blocks * BLOCK_ITEMS - weights.shape[0])).reshape(blocks, BLOCK_ITEMS)
    block, rest = _locate(uniform, jnp.sum(padded, axis=1))
    item, _ = _locate(rest, padded[block])
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

    Returns:
        (log_prob, entropy), each [R].
    """
    return _forward(block_rows, query, items, bias, actions, excluded, allowed)[0]


def _in_blocks(block_rows: int, rows: tuple[Array, ...]) -> tuple[tuple[Array, ...], int]:
    """Splits the leading axis into [blocks, block_rows]; padding repeats row 0, whose cotangents are then zero."""
    total = rows[0].shape[0]
    size = min(block_rows, total)
    blocks = -(-total // size)
    index = jnp.arange(blocks * size)
    index = jnp.where(index < total, index, 0)
    return tuple(array[index].reshape(blocks, size, *array.shape[1:]) for array in rows), total


def _forward(block_rows, query, items, bias, actions, excluded, allowed):  # type: ignore[no-untyped-def]
    def statistics(block):  # type: ignore[no-untyped-def]
        logits = catalogue_logits(block[0], items, bias, block[2], block[3])
        top = jnp.max(logits, axis=1, keepdims=True)
        weights = jnp.exp(logits - top)
        mass = jnp.sum(weights, axis=1)
        log_total = jnp.log(mass) + top[:, 0]
        entropy = log_total - jnp.sum(weights * logits, axis=1) / mass
        chosen = jnp.take_along_axis(logits, block[1][:, None], axis=1)[:, 0]
        return chosen - log_total, entropy, log_total

    blocks, total = _in_blocks(block_rows, (query, actions, excluded, allowed))
    outputs = jax.lax.map(statistics, blocks)
    log_prob, entropy, log_total = (output.reshape(-1)[:total] for output in outputs)
    return (log_prob, entropy), (query, items, bias, actions, excluded, allowed, log_total, entropy)


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
    return d_query, d_items, d_bias, None, None, None


head_statistics.defvjp(_forward, _backward)
