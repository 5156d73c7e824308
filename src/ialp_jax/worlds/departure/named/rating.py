"""Leaves after a bad item."""

from jaxtyping import Array, Bool

from ialp_jax.worlds.departure.base import DepartureContext, DepartureRule, register
from ialp_jax.worlds.world import World


@register("rating")
class Rating(DepartureRule):
    """Rating below the floor."""

    number = 2

    def fires(self, context: DepartureContext, world: World) -> Bool[Array, ""]:
        """Strictly below."""
        return context.rating < world.departure.rating_floor
