"""Departure rules: why a simulated user leaves. One pure function per rule; all see the same context."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8

from ialp_jax.worlds.points import squared_distances
from ialp_jax.worlds.world import World

REASONS = ("none", "distance", "rating", "category", "patience", "turn_cap")


@struct.dataclass
class DepartureContext:
    """What a rule may look at: the item just recommended, the last W recommended before it, and the user's temper."""

    action: Int[Array, ""]
    rating: Float[Array, ""]
    window_items: Int[Array, "W"]
    window_valid: Bool[Array, "W"]
    temper: Float[Array, ""]  # after this recommendation


def too_similar(context: DepartureContext, world: World) -> Bool[Array, ""]:
    """Distance to any item of the window below the threshold (EasyRL4Rec, DORL: strict inequality)."""
    if world.near.shape[0]:
        near = looked_up(world.near, context.action, context.window_items)
    else:
        # Squared on both sides: exact for the integer rating columns of Coat.
        squared = squared_distances(context.window_items, context.action[None], world.item_vectors)[:, 0]
        near = squared < world.departure.distance_threshold**2
    return jnp.any(near & context.window_valid)


def looked_up(near: UInt8[Array, "N M"], item: Int[Array, ""], others: Int[Array, "W"]) -> Bool[Array, "W"]:
    """What a table of `near.tabulate_near` says of an item and others; anything for ids beyond the catalogue."""
    octets = near.at[item, others >> 3].get(mode="clip")
    return ((octets >> (others & 7).astype(jnp.uint8)) & 1).astype(bool)


def rated_too_low(context: DepartureContext, world: World) -> Bool[Array, ""]:
    """Rating below the floor."""
    return context.rating < world.departure.rating_floor


def category_saturated(context: DepartureContext, world: World) -> Bool[Array, ""]:
    """Some category of the item occurs more than `category_limit` times in the window (KuaiRec's rule)."""
    in_window = world.item_categories[context.window_items] & context.window_valid[:, None]
    counts = jnp.sum(in_window, axis=0, dtype=jnp.int32)
    return jnp.any((counts > world.departure.category_limit) & world.item_categories[context.action])


def out_of_patience(context: DepartureContext, world: World) -> Bool[Array, ""]:
    """Temper used up."""
    del world
    return context.temper <= 0.0


RULES: dict[str, Callable[[DepartureContext, World], Bool[Array, ""]]] = {
    "distance": too_similar,
    "rating": rated_too_low,
    "category": category_saturated,
    "patience": out_of_patience,
}


def departure_reason(rules: tuple[str, ...], context: DepartureContext, world: World) -> Int[Array, ""]:
    """Index into `REASONS` of the first of `rules` that fires, 0 if none does."""
    reason = jnp.int32(0)
    for name in reversed(rules):
        reason = jnp.where(RULES[name](context, world), jnp.int32(REASONS.index(name)), reason)
    return reason


def temper_after(temper: Float[Array, ""], feedback: Float[Array, ""], world: World) -> Float[Array, ""]:
    """Temper after one recommendation: minus the cost, plus the gain times feedback, never above the start value."""
    departure = world.departure
    changed = temper - departure.patience_cost + departure.patience_gain * feedback
    return jnp.minimum(changed, departure.patience_start)
