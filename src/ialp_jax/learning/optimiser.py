"""Adam with its step size as data, and weights that fall during a run."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ialp_jax.health import watched
from ialp_jax.learning.watched import apart

Tree = Any
GRADIENT_CLIPPED = watched("gradient_clipped")
"""1 where the gradients of a step were scaled down, else 0."""
GRADIENT_SIZE = watched("gradient_size")
"""How many times too large their global norm was; 1 where it was within its bound."""


class StepHyper(Protocol):
    """The numbers of a gradient step."""

    @property
    def learning_rate(self) -> Any:
        """Step size of Adam."""

    @property
    def gradient_norm(self) -> Any:
        """Gradients are scaled down to at most this global norm."""


def optimiser() -> optax.GradientTransformation:
    """Adam without its learning rate, which is data (`Hyper`) and not part of the compiled program."""
    return optax.scale_by_adam(eps=1e-5)


def gradient_step(
    params: Tree, state: optax.OptState, gradients: Tree, hyper: StepHyper
) -> tuple[Tree, optax.OptState, dict[str, Float[Array, ""]]]:
    """One step of Adam on gradients clipped by their global norm.

    Returns:
        (parameters, state, what is watched of the step).
    """
    scale = jnp.minimum(1.0, hyper.gradient_norm / (optax.tree.norm(gradients) + 1e-12))
    clipped = jax.tree.map(lambda leaf: leaf * scale, gradients)
    told = {GRADIENT_CLIPPED: (apart(scale) < 1.0).astype(jnp.float32), GRADIENT_SIZE: 1.0 / apart(scale)}
    return *adam_step(params, state, clipped, hyper.learning_rate), told


def adam_step(
    params: Tree, state: optax.OptState, gradients: Tree, learning_rate: Float[Array, ""] | float
) -> tuple[Tree, optax.OptState]:
    """One step of Adam."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        updates, state = optimiser().update(gradients, state, params)
    return optax.apply_updates(params, jax.tree.map(lambda leaf: -learning_rate * leaf, updates)), state


def remaining(update: Int[Array, ""], updates: int, share: Float[Array, ""] | float) -> Float[Array, ""]:
    """1 at the start of a run of `updates`, falling linearly to 0 when `share` of it is over."""
    progress = update.astype(jnp.float32) / updates
    return jnp.maximum(0.0, 1.0 - progress / jnp.maximum(share, 1e-6))
