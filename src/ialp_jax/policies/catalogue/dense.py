"""The catalogue head from logits that fit in memory."""

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.policies.catalogue.sampling import inverse_cdf
from ialp_jax.policies.catalogue.softmax import HeadStatistics
from ialp_jax.serving.shares import draw


class CatalogueDistribution(distrax.Distribution):
    """Categorical over items from logits of shape [..., N]; masked items carry the logit `MASKED`.

    All methods share one exponential per item.
    """

    blocks = 1  # of `log_probs`

    def __init__(self, logits: Float[Array, "*batch N"]) -> None:
        self._logits = logits
        top = jnp.max(logits, axis=-1, keepdims=True)
        self._shifted = logits - top
        self._weights = jnp.exp(self._shifted)
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
        uniforms = draw(jax.random.uniform, key, (n, *self.batch_shape, 2), axis=1)
        choose = jnp.vectorize(inverse_cdf, signature="(u),(m)->()")
        return choose(uniforms, jnp.broadcast_to(self._weights, (n, *self._weights.shape)))

    def log_prob(self, value: Int[Array, "*draws"]) -> Float[Array, "*draws"]:
        """Log-probability of item ids; their shape is broadcast against the rows'."""
        shape = jnp.broadcast_shapes(value.shape, self.batch_shape)
        logits = jnp.broadcast_to(self._logits, (*shape, self._logits.shape[-1]))
        chosen = jnp.take_along_axis(logits, jnp.broadcast_to(value, shape)[..., None], axis=-1)[..., 0]
        return chosen - jnp.broadcast_to(self._log_total, shape)

    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy in nats; masked items contribute nothing."""
        return jnp.log(self._mass) - jnp.sum(self._weights * self._shifted, axis=-1) / self._mass

    def statistics(self, value: Int[Array, "*batch"]) -> HeadStatistics:
        """Everything a policy gradient needs of these items, while the logits are at hand."""
        return HeadStatistics(self.log_prob(value), self.entropy(), self._log_total)

    def log_probs(self, block: Int[Array, ""] | int) -> tuple[Int[Array, "N"], Float[Array, "*batch N"]]:
        """Ids and log-probabilities of a block of items: all of them, there is one block."""
        del block
        ids = jnp.arange(self._logits.shape[-1], dtype=jnp.int32)
        return ids, self._logits - self._log_total[..., None]

    def mode(self) -> Int[Array, "*batch"]:
        """The most probable item (the lowest id among equals)."""
        return jnp.argmax(self._logits, axis=-1).astype(jnp.int32)

    def top_k(self, k: int) -> Int[Array, "*batch k"]:
        """The k most probable items, best first."""
        return jax.lax.top_k(self._logits, k)[1].astype(jnp.int32)
