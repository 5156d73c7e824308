"""How unlike what is known a recommendation would be: several answers, one interface."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.methods.learners.density import Density, pair_inputs
from ialp_jax.recommenders.calibration import Answers
from ialp_jax.serving.shares import draw, total

NoveltyName = Literal["rate", "counts", "chance"]
PLANES = 4
"""Planes through the origin that divide the tastes into 2^4 groups of users, for counts."""


class Novelty(Protocol):
    """A kind of novelty; frozen and hashable. What it knows travels in the run's state."""

    def begin(
        self, key: PRNGKeyArray, given: Answers, item: Float[Array, "N k"], start: tuple[Any, ...]
    ) -> Any:
        """What is known after recorded turns; `start` holds what an earlier stage has fitted."""

    def of(
        self,
        known: Any,
        key: PRNGKeyArray,
        item: Float[Array, "N k"],
        taste: Float[Array, "R k"],
        items: Int[Array, "R w"],
    ) -> Float[Array, "R w"]:
        """The novelty of w items for each row's user; `item` are the factors of the catalogue."""

    def after(self, known: Any, taste: Float[Array, "R k"], items: Int[Array, "R"]) -> Any:
        """What is known after these turns too, of this device's users."""


@dataclass(frozen=True)
class RateNovelty:
    """The rate of a density model of recorded pairs, which does not change online."""

    def begin(self, key: PRNGKeyArray, given: Answers, item: Array, start: tuple[Any, ...]) -> Density:
        """The fitted model."""
        del key, given, item
        (density,) = start
        return density  # type: ignore[no-any-return]

    def of(
        self, known: Density, key: PRNGKeyArray, item: Array, taste: Array, items: Array
    ) -> Float[Array, "R w"]:
        """Draws nothing."""
        del key
        return known.rate(pair_inputs(taste, item, items))

    def after(self, known: Density, taste: Array, items: Array) -> Density:
        """Nothing new."""
        del taste, items
        return known


@struct.dataclass
class KnownCounts:
    """How often each group of users met each item."""

    planes: Float[Array, "k p"]
    count: Float[Array, "G N"]

    def group(self, taste: Float[Array, "R k"]) -> Int[Array, "R"]:
        """On which sides of the planes a taste lies, as a number."""
        sides = (taste @ self.planes > 0.0).astype(jnp.int32)
        return jnp.sum(
            sides * 2 ** jnp.arange(sides.shape[1], dtype=jnp.int32)[None], axis=1, dtype=jnp.int32
        )


@dataclass(frozen=True)
class CountNovelty:
    """1 / sqrt(1 + n), n how often users of the same group met the item, in the logs and online."""

    def begin(self, key: PRNGKeyArray, given: Answers, item: Array, start: tuple[Any, ...]) -> KnownCounts:
        """The recorded turns, counted."""
        del start
        planes = jax.random.normal(key, (item.shape[1], PLANES))
        nothing = KnownCounts(planes, jnp.zeros((2**PLANES, item.shape[0])))
        return nothing.replace(count=nothing.count.at[nothing.group(given.taste), given.item].add(1.0))  # type: ignore[attr-defined, no-any-return]

    def of(
        self, known: KnownCounts, key: PRNGKeyArray, item: Array, taste: Array, items: Array
    ) -> Float[Array, "R w"]:
        """Draws nothing."""
        del key, item
        return jax.lax.rsqrt(1.0 + known.count[known.group(taste)[:, None], items])

    def after(self, known: KnownCounts, taste: Array, items: Array) -> KnownCounts:
        """Counted, those of all devices."""
        met = jnp.zeros_like(known.count).at[known.group(taste), items].add(1.0)
        return known.replace(count=known.count + total(met))  # type: ignore[attr-defined, no-any-return]


@dataclass(frozen=True)
class ChanceNovelty:
    """A uniform number for every item: the control, a plan for nothing."""

    def begin(self, key: PRNGKeyArray, given: Answers, item: Array, start: tuple[Any, ...]) -> tuple[()]:
        """Nothing is known."""
        del key, given, item, start
        return ()

    def of(
        self, known: tuple[()], key: PRNGKeyArray, item: Array, taste: Array, items: Array
    ) -> Float[Array, "R w"]:
        """Drawn for all users, of whom each device keeps its own."""
        del known, item, taste
        drawn: Float[Array, "R w"] = draw(jax.random.uniform, key, items.shape)
        return drawn

    def after(self, known: tuple[()], taste: Array, items: Array) -> tuple[()]:
        """Nothing."""
        del taste, items
        return known


NOVELTIES: dict[NoveltyName, Novelty] = {
    "rate": RateNovelty(),
    "counts": CountNovelty(),
    "chance": ChanceNovelty(),
}
"""By their names."""
