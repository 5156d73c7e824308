"""Departure rules: why a simulated user leaves. One file per rule in `named/`; all see the same context."""

import jax.numpy as jnp
from jaxtyping import Array, Int

from ialp_jax.listing import import_files
from ialp_jax.worlds.departure.base import DepartureContext, DepartureRule, listing, register
from ialp_jax.worlds.departure.reasons import numbered
from ialp_jax.worlds.departure.temper import temper_after
from ialp_jax.worlds.world import World

__all__ = [
    "REASONS",
    "RULES",
    "DepartureContext",
    "DepartureRule",
    "departure_reason",
    "register",
    "temper_after",
]

import_files(f"{__name__}.named")
REASONS = numbered(listing.parts())
"""Why a session ended, by number. Finished runs hold the numbers: those of shipped rules stay."""
RULES: dict[str, DepartureRule] = {
    name: listing.parts()[name]() for name in REASONS if name in listing.parts()
}
"""All rules by name, in the order of `REASONS`."""


def departure_reason(rules: tuple[str, ...], context: DepartureContext, world: World) -> Int[Array, ""]:
    """Index into `REASONS` of the first of `rules` that fires, 0 if none does."""
    reason = jnp.int32(0)
    for name in reversed(rules):
        reason = jnp.where(RULES[name].fires(context, world), jnp.int32(REASONS.index(name)), reason)
    return reason
