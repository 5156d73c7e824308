"""OptiDICE's dual (arXiv 2106.10783): multipliers of states, and what they make the logged decisions weigh.

    max_pi E_d[r] - alpha D_f(d || d_D),     d the discounted visits of pi, d_D the logged decisions

With e(s, a) = r + gamma E nu(s') - nu(s) - lambda and w = max(0, (f')^-1(e / alpha)), nu and lambda minimise

    (1 - gamma) E nu(s_0) + lambda + E_D[w e - alpha f(w)],     and then d = w d_D

Pure functions of arrays; `methods/named/optidice.py` says where public code is not followed.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from ialp_jax.ranges import Rate, Share
from ialp_jax.values import checked

Divergence = Literal["soft_chi2", "chi2", "kl"]
Loss = tuple[Float[Array, ""], dict[str, Array]]
SMALLEST_RATIO = 1e-6
LARGEST_EXPONENT = 20.0


@struct.dataclass
class StepNumbers:
    """Numbers of a gradient step."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class DiceHyper(StepNumbers):
    """Numbers of OptiDICE."""

    discount: Share = 0.95
    """gamma."""
    alpha: Rate = 0.1
    """How dear it is to leave the logs: large imitates them, small seeks reward alone."""
    reward_scale: Rate = 1.0
    """Rewards are multiplied by this; they are never shifted."""


@dataclass(frozen=True)
@checked
class DualConfig:
    """Which dual it is: static."""

    divergence: Divergence = "soft_chi2"
    """f: chi2 is (w - 1)^2 / 2, soft_chi2 w (log w - 1) + 1 below 1 and the same above, kl w log w."""
    expectation: Literal["averaged", "sampled"] = "averaged"
    """Whether w is that of an error's mean over the feedback, or of the one error that was logged, as in the public code."""
    absorbing: bool = True
    """Whether a state that absorbs follows a departure; else nothing does."""
    normalised: bool = True
    """Whether lambda keeps the mean of w at 1."""


@struct.dataclass
class Multipliers:
    """The scalars among the multipliers: lambda, and nu of the absorbing state."""

    normaliser: Float[Array, ""]
    absorbing: Float[Array, ""]


@struct.dataclass
class Values:
    """What the dual reads of rows [R]: r, whether the user left, nu(s), nu(s') and q(s, a)."""

    reward: Float[Array, "R"]
    terminated: Bool[Array, "R"]
    value: Float[Array, "R"]
    next_value: Float[Array, "R"]
    predicted: Float[Array, "R"]


def density_ratio(scaled: Float[Array, "*s"], divergence: Divergence) -> Float[Array, "*s"]:
    """w = max(0, (f')^-1(e / alpha)) of e / alpha."""
    if divergence == "chi2":
        return jnp.maximum(scaled + 1.0, 0.0)
    if divergence == "soft_chi2":
        return jnp.where(scaled < 0.0, jnp.exp(jnp.minimum(scaled, 0.0)), scaled + 1.0)
    return jnp.exp(jnp.minimum(scaled - 1.0, LARGEST_EXPONENT))


def log_density_ratio(scaled: Float[Array, "*s"], divergence: Divergence) -> Float[Array, "*s"]:
    """log w of e / alpha, at least log eps where w is 0."""
    if divergence == "chi2":
        return jnp.log(jnp.maximum(scaled + 1.0, SMALLEST_RATIO))
    if divergence == "soft_chi2":
        return jnp.where(scaled < 0.0, scaled, jnp.log1p(jnp.maximum(scaled, 0.0)))
    return jnp.minimum(scaled - 1.0, LARGEST_EXPONENT)


def penalty(ratio: Float[Array, "*s"], divergence: Divergence) -> Float[Array, "*s"]:
    """f(w)."""
    squared, logarithm = 0.5 * (ratio - 1.0) ** 2, jnp.log(jnp.maximum(ratio, 1e-30))
    if divergence == "chi2":
        return squared
    if divergence == "soft_chi2":
        return jnp.where(ratio < 1.0, ratio * (logarithm - 1.0) + 1.0, squared)
    return ratio * logarithm


def errors(
    values: Values, multipliers: Multipliers, hyper: DiceHyper, config: DualConfig
) -> tuple[Float[Array, "R"], Float[Array, "R"], Float[Array, "R"]]:
    """e of the logged s', e of q, and what q is fitted to: r + gamma nu(s')."""
    end = multipliers.absorbing if config.absorbing else jnp.zeros_like(multipliers.absorbing)
    after = jnp.where(values.terminated, end, values.next_value)
    goal = hyper.reward_scale * values.reward + hyper.discount * after
    offset = values.value + multipliers.normaliser if config.normalised else values.value
    return goal - offset, values.predicted - offset, goal


def dice_loss(
    start: Float[Array, "B"],
    values: Values,
    multipliers: Multipliers,
    ended: Float[Array, ""] | float,
    hyper: DiceHyper,
    config: DualConfig,
    loops: float = 1.0,
) -> Loss:
    """The dual, and half the squared error of q; gradients of either leave the other's parameters alone.

    Args:
        start: nu of states that sessions begin in.
        values: of logged rows.
        multipliers: lambda and nu of the absorbing state.
        ended: share of all logged rows in which the user left.
        hyper: alpha, gamma and the reward's scale.
        config: f, and whose error gives w.
        loops: of the absorbing state, in the data for every row in which the user left.

    Returns:
        (loss, metrics); the dual itself is `dual_loss`.
    """
    logged, mean, goal = errors(values, multipliers, hyper, config)

    def term(error: Array, known: Array) -> tuple[Array, Array]:
        ratio = density_ratio(jax.lax.stop_gradient(known) / hyper.alpha, config.divergence)
        return ratio * error - hyper.alpha * penalty(ratio, config.divergence), ratio

    of_rows, ratio = term(logged, mean if config.expectation == "averaged" else logged)
    dual = jnp.mean(of_rows)
    if config.absorbing:
        loop = (hyper.discount - 1.0) * multipliers.absorbing
        loop = loop - multipliers.normaliser if config.normalised else loop
        left = values.terminated.astype(loop.dtype)
        dual = (dual + loops * jnp.mean(left) * term(loop, loop)[0]) / (1.0 + loops * ended)
    dual = dual + (1.0 - hyper.discount) * jnp.mean(start)
    dual = dual + multipliers.normaliser if config.normalised else dual
    fit = 0.5 * jnp.mean((values.predicted - jax.lax.stop_gradient(goal)) ** 2)
    return dual + fit, {"dual_loss": dual, "error_loss": fit, "ratio": jnp.mean(ratio)}
