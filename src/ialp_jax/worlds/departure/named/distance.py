"""Leaves when an item is too similar to a recent one."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ialp_jax.worlds.departure.base import DepartureContext, DepartureRule, register
from ialp_jax.worlds.near import looked_up
from ialp_jax.worlds.points import squared_distances
from ialp_jax.worlds.world import World


@register("distance")
class Distance(DepartureRule):
    """Distance to any item of the window below the threshold (EasyRL4Rec, DORL: strict inequality)."""

    number = 1

    def fires(self, context: DepartureContext, world: World) -> Bool[Array, ""]:
        """Looked up where the world has a table, computed otherwise."""
        if world.near.shape[0]:
            near = looked_up(world.near, context.action, context.window_items)
        else:
            # Squared on both sides: exact for the integer rating columns of Coat.
            squared = squared_distances(context.window_items, context.action[None], world.item_vectors)[:, 0]
            near = squared < world.departure.distance_threshold**2
        return jnp.any(near & context.window_valid)

    def fires_for_each(self, context: DepartureContext, world: World) -> Bool[Array, "N"]:
        """One product for the whole catalogue, so that no N x W x k array is made."""
        squared = squared_distances(context.window_items, context.action, world.item_vectors)
        near = squared < world.departure.distance_threshold**2
        return jnp.any(near & context.window_valid[:, None], axis=0)
