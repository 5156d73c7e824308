"""Worlds of any size, made on the device in no time: random arrays of the right shapes, no fit."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.ranges import Count
from ialp_jax.values import checked
from ialp_jax.worlds.near import near_table, tabulate_near
from ialp_jax.worlds.world import DenseRatings, Departure, FactorRatings, Ratings, World

DENSE_RATINGS = 16_000_000  # users x items up to which a table of ratings is no burden (64 MB)
FACTORS = 16
CATEGORIES = 8
NEAR = 0.643  # times the usual distance of two items: the distance rule finds 2 % of pairs too alike
PREFERRED = 0.05  # share of the catalogue an imagined user prefers, as in a study


@dataclass(frozen=True)
@checked
class RandomWorld:
    """Makes the users' world, or the LLM's imagined users', from a key. Equal ones make equal worlds.

    Attributes:
        users: population U.
        items: catalogue N.
        history: known interactions H of a user; some users have fewer.
        near: whether which items are too alike is tabulated however large the catalogue is.
        kind: whose world. Imagined users pay 1 for preferred items and 0 for others, without noise.
    """

    users: Count
    items: Count
    history: Count
    kind: Literal["users", "imagined"] = "users"
    near: bool = False

    @property
    def dense(self) -> bool:
        """Whether the ratings are a table, not factors."""
        return self.users * self.items <= DENSE_RATINGS

    def __call__(self, key: PRNGKeyArray) -> World:
        """The world; traceable, so that its shapes are known without making it."""
        rating_key, vector_key, category_key, known_key, item_key, feedback_key = jax.random.split(key, 6)
        imagined = self.kind == "imagined"
        slots = jnp.arange(self.history)[None, :]
        known = jax.random.randint(known_key, (self.users, 1), self.history // 2, self.history + 1)
        filled = slots >= self.history - known
        chosen = jax.random.randint(item_key, (self.users, self.history), 0, self.items)
        feedback = jax.random.uniform(feedback_key, (self.users, self.history))
        low, high = (0.0, 1.0) if imagined else (1.0, 5.0)
        world = World(
            ratings=self._ratings(rating_key, low, high),
            rating_low=jnp.float32(low),
            rating_high=jnp.float32(high),
            rating_noise=jnp.float32(0.0 if imagined else 0.4),
            item_vectors=jax.random.normal(vector_key, (self.items, FACTORS)),
            item_categories=jax.random.bernoulli(category_key, 0.2, (self.items, CATEGORIES)),
            session_users=jnp.arange(self.users, dtype=jnp.int32),
            initial_items=jnp.where(filled, chosen, self.items).astype(jnp.int32),
            initial_feedback=jnp.where(filled, feedback, 0.0),
            allowed_items=jnp.zeros((self.users, 0), jnp.int32),
            departure=Departure.create(distance_threshold=NEAR * (2.0 * FACTORS) ** 0.5),
        )
        if self.near:
            table = near_table(world.item_vectors, world.departure.distance_threshold)
            return world.replace(near=table)  # type: ignore[attr-defined, no-any-return]
        return tabulate_near(world)

    def _ratings(self, key: PRNGKeyArray, low: float, high: float) -> Ratings:
        if self.dense:
            return DenseRatings(self._table(key, low, high))
        user_key, item_key = jax.random.split(key)
        users = jax.random.normal(user_key, (self.users, FACTORS))
        items = jax.random.normal(item_key, (self.items, FACTORS)) * FACTORS**-0.5
        return FactorRatings(users, items, jnp.float32(low), jnp.float32(high))

    def _table(self, key: PRNGKeyArray, low: float, high: float) -> Float[Array, "U N"]:
        uniform = jax.random.uniform(key, (self.users, self.items))
        if self.kind == "imagined":
            return (uniform < PREFERRED).astype(jnp.float32)
        return low + (high - low) * uniform
