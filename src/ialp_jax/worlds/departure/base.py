"""What a departure rule is, and what it may look at."""

from abc import ABC, abstractmethod
from typing import ClassVar

import jax
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.listing import Listing
from ialp_jax.worlds.world import World


@struct.dataclass
class DepartureContext:
    """What a rule may look at: the item just recommended, the last W recommended before it, and the user's temper."""

    action: Int[Array, ""]
    rating: Float[Array, ""]
    window_items: Int[Array, "W"]
    window_valid: Bool[Array, "W"]
    temper: Float[Array, ""]  # after this recommendation


class DepartureRule(ABC):
    """Why a simulated user leaves: a pure function of the context and the world, traceable and without state.

    Attributes:
        number: its index in `REASONS`, by which finished runs know it. Rules without one come after all others, by name.
    """

    number: ClassVar[int | None] = None

    @abstractmethod
    def fires(self, context: DepartureContext, world: World) -> Bool[Array, ""]:
        """Whether the user leaves."""

    def fires_for_each(self, context: DepartureContext, world: World) -> Bool[Array, "N"]:
        """`fires` for every item of the catalogue.

        Args:
            context: `action`, `rating` and `temper` have an entry per item, in the catalogue's order.
            world: the world.
        """
        axes = DepartureContext(0, 0, None, None, 0)  # type: ignore[arg-type]
        return jax.vmap(self.fires, in_axes=(axes, None))(context, world)


listing: Listing[DepartureRule] = Listing("departure rule")
register = listing.register
"""Decorator of a rule's class: `@register("name")`."""
