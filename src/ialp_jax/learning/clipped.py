"""The loss of proximal policy optimisation: pure functions of log-probabilities, entropies and values.

Schulman et al. 2017, arXiv 1707.06347; the clipped value loss is that of its authors' code.
"""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float


@struct.dataclass
class Acted:
    """What stands fixed of decisions while several gradient steps are taken on them.

    Attributes:
        log_prob: of the recommended items, under the parameters that acted.
        values: V under those parameters.
        advantages: for the policy.
        targets: of V.
    """

    log_prob: Float[Array, "*s"]
    values: Float[Array, "*s"]
    advantages: Float[Array, "*s"]
    targets: Float[Array, "*s"]


def clipped_surrogate(
    log_ratio: Float[Array, "*s"], advantages: Float[Array, "*s"], clip: Float[Array, ""] | float
) -> Float[Array, "*s"]:
    """min(rho A, clip(rho, 1 - c, 1 + c) A), to be made large (eq. 7); flat where rho went further than it helps.

    Args:
        log_ratio: log rho = log pi(a|s) - log pi_acted(a|s).
        advantages: A.
        clip: c > 0.
    """
    ratio = jnp.exp(log_ratio)
    return jnp.minimum(ratio * advantages, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantages)


def value_errors(
    values: Float[Array, "*s"],
    acted: Float[Array, "*s"],
    targets: Float[Array, "*s"],
    clip: Float[Array, ""] | float | None,
) -> Float[Array, "*s"]:
    """Half the squared errors of V; with a clip c the larger one of V's and of acted + clip(V - acted, -c, c)'s.

    Args:
        values: V under the parameters that learn.
        acted: V under the parameters that acted.
        targets: what V should be.
        clip: c > 0 in the unit of the values; None for plain errors.
    """
    errors = (values - targets) ** 2
    if clip is not None:
        errors = jnp.maximum(errors, (acted + jnp.clip(values - acted, -clip, clip) - targets) ** 2)
    return 0.5 * errors


def clipped_loss(
    log_prob: Float[Array, "*s"],
    entropy: Float[Array, "*s"],
    values: Float[Array, "*s"],
    acted: Acted,
    clip: Float[Array, ""] | float,
    value_weight: Float[Array, ""] | float,
    entropy_weight: Float[Array, ""] | float,
    value_clip: bool,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """L = -mean(clipped surrogate) + c_v mean(value errors) - eta mean(H(pi)) (eq. 9 with its sign turned).

    Args:
        log_prob: log pi(a|s) under the parameters that learn.
        entropy: H(pi(.|s)) under them.
        values: V(s) under them.
        acted: what stands fixed.
        clip: c of the surrogate, and of the values where they are clipped.
        value_weight: c_v.
        entropy_weight: eta.
        value_clip: whether steps of V are clipped too.

    Returns:
        (loss, metrics); `kl` is the mean of rho - 1 - log rho, an estimate of KL(pi_acted || pi) that is never negative.
    """
    log_ratio = log_prob - acted.log_prob
    surrogate = clipped_surrogate(log_ratio, acted.advantages, clip)
    value_loss = jnp.mean(value_errors(values, acted.values, acted.targets, clip if value_clip else None))
    mean_entropy = jnp.mean(entropy)
    loss = value_weight * value_loss - jnp.mean(surrogate) - entropy_weight * mean_entropy
    metrics = {
        "entropy": mean_entropy,
        "value_loss": value_loss,
        "clip_fraction": jnp.mean((jnp.abs(jnp.expm1(log_ratio)) > clip).astype(jnp.float32)),
        "kl": jnp.mean(jnp.expm1(log_ratio) - log_ratio),
    }
    return loss, metrics
