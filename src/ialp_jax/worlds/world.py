"""A world is arrays: who the users are, how they rate items, how alike items are, when they leave.

Steam users, Last.fm users, synthetic users and an LLM's imagined users differ only in the leaves of `World`.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8


class Ratings(Protocol):
    """How users rate items, on the world's raw scale."""

    def of(self, user: Int[Array, ""], item: Int[Array, ""]) -> Float[Array, ""]:
        """Rating of one item by one user."""
        ...

    def of_all(self, user: Int[Array, ""]) -> Float[Array, "N"]:
        """Ratings of the whole catalogue by one user."""
        ...


@jax.jit
def catalogue_ratings(ratings: Ratings, users: Int[Array, "R"]) -> Float[Array, "R N"]:
    """Ratings of the whole catalogue by some users, one program for all that a host asks."""
    return jax.vmap(ratings.of_all)(users)


@struct.dataclass
class DenseRatings:
    """A complete table of ratings; right where users x items fits in memory."""

    table: Float[Array, "U N"]

    def of(self, user: Int[Array, ""], item: Int[Array, ""]) -> Float[Array, ""]:
        """Rating of one item by one user."""
        return self.table[user, item]

    def of_all(self, user: Int[Array, ""]) -> Float[Array, "N"]:
        """Ratings of the whole catalogue by one user."""
        return self.table[user]


@struct.dataclass
class FactorRatings:
    """Ratings from factors: clip(<u, v>, low, high); biases are folded into the factors."""

    users: Float[Array, "U k"]
    items: Float[Array, "N k"]
    low: Float[Array, ""]
    high: Float[Array, ""]

    def of(self, user: Int[Array, ""], item: Int[Array, ""]) -> Float[Array, ""]:
        """Rating of one item by one user."""
        return jnp.clip(self.users[user] @ self.items[item], self.low, self.high)

    def of_all(self, user: Int[Array, ""]) -> Float[Array, "N"]:
        """Ratings of the whole catalogue by one user."""
        return jnp.clip(self.items @ self.users[user], self.low, self.high)


@struct.dataclass
class GradedFactorRatings:
    """Graded ratings from an affinity <u, v>: each user's own thresholds cut it into G + 1 grades.

    Affinities of implicit-feedback factorisations have no unit; thresholds at fixed percentiles of each user's own
    affinities over the catalogue give every user the same share of items at every grade.
    """

    users: Float[Array, "U k"]
    items: Float[Array, "N k"]
    thresholds: Float[Array, "U G"]
    grades: Float[Array, "G+1"]

    def of(self, user: Int[Array, ""], item: Int[Array, ""]) -> Float[Array, ""]:
        """Rating of one item by one user."""
        affinity = self.users[user] @ self.items[item]
        return self.grades[jnp.sum(affinity >= self.thresholds[user])]

    def of_all(self, user: Int[Array, ""]) -> Float[Array, "N"]:
        """Ratings of the whole catalogue by one user."""
        affinity = self.items @ self.users[user]
        return self.grades[jnp.sum(affinity[:, None] >= self.thresholds[user][None, :], axis=1)]


@struct.dataclass
class CopiedRatings:
    """Ratings of users of whom there are `copies` in a row, who differ in what is known of them."""

    ratings: Ratings
    copies: int = struct.field(pytree_node=False)

    def of(self, user: Int[Array, ""], item: Int[Array, ""]) -> Float[Array, ""]:
        """Rating of one item by one user."""
        return self.ratings.of(user // self.copies, item)

    def of_all(self, user: Int[Array, ""]) -> Float[Array, "N"]:
        """Ratings of the whole catalogue by one user."""
        return self.ratings.of_all(user // self.copies)


@struct.dataclass
class Departure:
    """Parameters of the departure rules; which rules are compiled in is `SimulatorConfig.rules`.

    Attributes:
        distance_threshold: the user leaves when the item is nearer than this to one of the last W recommended.
        rating_floor: the user leaves when the rating is below this.
        category_limit: the user leaves when a category of the item already occurs more often than this in the last W.
        patience_start: temper at the start of a session, in units of `patience_cost`.
        patience_cost: temper lost per recommendation.
        patience_gain: temper regained for feedback 1 (proportionally for less); the start value is the ceiling.
    """

    distance_threshold: Float[Array, ""]
    rating_floor: Float[Array, ""]
    category_limit: Int[Array, ""]
    patience_start: Float[Array, ""]
    patience_cost: Float[Array, ""]
    patience_gain: Float[Array, ""]

    @classmethod
    def create(
        cls,
        distance_threshold: float = 0.0,
        rating_floor: float = -jnp.inf,
        category_limit: int = 2**30,
        patience_start: float = 3.0,
        patience_cost: float = 1.0,
        patience_gain: float = 1.5,
    ) -> "Departure":
        """Departure rules that never fire unless their parameter is given (patience: unless it is switched on)."""
        return cls(
            distance_threshold=jnp.float32(distance_threshold),
            rating_floor=jnp.float32(rating_floor),
            category_limit=jnp.int32(category_limit),
            patience_start=jnp.float32(patience_start),
            patience_cost=jnp.float32(patience_cost),
            patience_gain=jnp.float32(patience_gain),
        )


@struct.dataclass
class World:
    """All arrays of a simulated population. U users, N items, H history slots, C categories, M session users.

    Attributes:
        ratings: how users rate items, on the raw scale [rating_low, rating_high].
        rating_low: lowest possible rating.
        rating_high: highest possible rating; training divides rewards by it (a scale, so the optimum is unchanged).
        rating_noise: standard deviation of the Gaussian added to every rating before clipping to the range.
        item_vectors: points whose Euclidean distance is the dissimilarity of two items.
        item_categories: multi-hot category membership.
        session_users: users who open sessions; a session's user is drawn uniformly from them.
        initial_items: each user's known history when a session starts, most recent last, padded on the left with N.
        initial_feedback: the feedback in [0, 1] that belongs to `initial_items`; 0 where padded.
        allowed_items: items that may be recommended to each user; zero columns mean the whole catalogue.
        departure: parameters of the departure rules.
        near: bit j % 8 of entry [i, j // 8] says whether items i and j are nearer than the distance threshold; no rows
            mean that the distance rule computes it. Made by `near.tabulate_near`, again whenever vectors or threshold
            change: a table that does not belong to them is believed.
    """

    ratings: Ratings
    rating_low: Float[Array, ""]
    rating_high: Float[Array, ""]
    rating_noise: Float[Array, ""]
    item_vectors: Float[Array, "N k"]
    item_categories: Bool[Array, "N C"]
    session_users: Int[Array, "M"]
    initial_items: Int[Array, "U H"]
    initial_feedback: Float[Array, "U H"]
    allowed_items: Int[Array, "U K"]
    departure: Departure
    near: UInt8[Array, "N M"] = struct.field(default_factory=lambda: np.zeros((0, 0), np.uint8))

    @property
    def num_items(self) -> int:
        """Size N of the catalogue; N itself is the padding item id."""
        return self.item_vectors.shape[0]

    def feedback(self, rating: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Rating rescaled to [0, 1], as the policy sees it in the history."""
        return (rating - self.rating_low) / (self.rating_high - self.rating_low)
