"""How a user's temper changes."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ialp_jax.worlds.world import World


def temper_after(temper: Float[Array, ""], feedback: Float[Array, ""], world: World) -> Float[Array, ""]:
    """Temper after one recommendation: minus the cost, plus the gain times feedback, never above the start value."""
    departure = world.departure
    changed = temper - departure.patience_cost + departure.patience_gain * feedback
    return jnp.minimum(changed, departure.patience_start)
