"""Leaves when the temper is used up."""

from jaxtyping import Array, Bool

from ialp_jax.worlds.departure.base import DepartureContext, DepartureRule, register
from ialp_jax.worlds.world import World


@register("patience")
class Patience(DepartureRule):
    """Temper used up."""

    number = 4

    def fires(self, context: DepartureContext, world: World) -> Bool[Array, ""]:
        """After this recommendation's cost and gain."""
        del world
        return context.temper <= 0.0
