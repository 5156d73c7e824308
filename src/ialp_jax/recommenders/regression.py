"""Bayesian linear regression with known noise: y = <w, x> + e, w ~ N(m, V), e ~ N(0, s^2) (Bishop 2006, section 3.3).

precision = V^-1 + sum x x' / s^2,     pull = V^-1 m + sum y x / s^2,     w | data ~ N(precision^-1 pull, precision^-1).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float


@struct.dataclass
class Evidence:
    """What is known of the weights: a Gaussian by its precision and precision times mean, leading axes [...]."""

    precision: Float[Array, "*s d d"]
    pull: Float[Array, "*s d"]

    def and_also(self, other: "Evidence") -> "Evidence":
        """Independent evidence of both."""
        return Evidence(self.precision + other.precision, self.pull + other.pull)

    @property
    def mean(self) -> Float[Array, "*s d"]:
        """The weights' mean."""
        return solve(self.precision, self.pull)

    @property
    def covariance(self) -> Float[Array, "*s d d"]:
        """The weights' covariance."""
        factor = jax.scipy.linalg.cho_factor(self.precision)
        identity = jnp.broadcast_to(jnp.eye(self.pull.shape[-1]), self.precision.shape)
        return jax.scipy.linalg.cho_solve(factor, identity)


def prior(mean: Float[Array, "d"], variance: Float[Array, ""] | float) -> Evidence:
    """Weights around a mean, independent and with equal variances."""
    return Evidence(jnp.eye(mean.shape[0]) / variance, mean / variance)


def observed(
    inputs: Float[Array, "n d"], outputs: Float[Array, "n"], noise_variance: Float[Array, ""] | float
) -> Evidence:
    """What n observations say of the weights."""
    return Evidence(inputs.T @ inputs / noise_variance, outputs @ inputs / noise_variance)


def solve(gram: Float[Array, "*s d d"], pull: Float[Array, "*s d"]) -> Float[Array, "*s d"]:
    """gram^-1 pull for positive definite matrices."""
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram), pull[..., None])[..., 0]


def in_turn(value: Float[Array, "*s"], earlier: Float[Array, "*t"]) -> Float[Array, "*s"]:
    """The value, which is there only after `earlier`, whose numbers are finite.

    Batched factorisations that do not wait for each other may, on two cores, wait for each other for ever (docs/performance.md).
    """
    return value + 0.0 * jnp.sum(earlier)
