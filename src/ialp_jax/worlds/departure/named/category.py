"""Leaves when one category comes too often."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ialp_jax.worlds.departure.base import DepartureContext, DepartureRule, register
from ialp_jax.worlds.world import World


@register("category")
class Category(DepartureRule):
    """Some category of the item occurs more than `category_limit` times in the window (KuaiRec's rule)."""

    number = 3

    def fires(self, context: DepartureContext, world: World) -> Bool[Array, ""]:
        """The window's items are counted, the item itself is not."""
        in_window = world.item_categories[context.window_items] & context.window_valid[:, None]
        counts = jnp.sum(in_window, axis=0, dtype=jnp.int32)
        return jnp.any((counts > world.departure.category_limit) & world.item_categories[context.action])
