"""The LLM's imagined users: a preference table as a world. Pre-training iALP is training in it."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ialp_jax.worlds.world import DenseRatings, Departure, World


def preference_world(
    rewards: Float[np.ndarray, "S N"],
    initial_items: Int[np.ndarray, "S H"],
    initial_feedback: Float[np.ndarray, "S H"],
    item_vectors: Float[np.ndarray, "N k"],
    item_categories: Bool[np.ndarray, "N C"],
    departure: Departure,
    allowed: Bool[np.ndarray, "S N"] | None = None,
) -> World:
    """A world whose users are the judged states and whose ratings are their preferences.

    It holds nothing of the users' world: similarity comes from the items' text, not from ratings.

    Args:
        rewards: what recommending each item to each state pays, in [0, 1].
        initial_items: the state's history, most recent last, left-padded with N.
        initial_feedback: its feedback.
        item_vectors: content vectors.
        item_categories: multi-hot categories.
        departure: parameters of the departure rules, in content distance.
        allowed: option (A): the only items a policy may recommend to each state.
    """
    states, num_items = rewards.shape
    return World(
        ratings=DenseRatings(jnp.asarray(rewards, jnp.float32)),
        rating_low=jnp.float32(0.0),
        rating_high=jnp.float32(1.0),
        rating_noise=jnp.float32(0.0),
        item_vectors=jnp.asarray(item_vectors, jnp.float32),
        item_categories=jnp.asarray(item_categories),
        session_users=jnp.arange(states, dtype=jnp.int32),
        initial_items=jnp.asarray(initial_items, jnp.int32),
        initial_feedback=jnp.asarray(initial_feedback, jnp.float32),
        allowed_items=jnp.asarray(_allowed_lists(allowed, states, num_items)),
        departure=departure,
    )


def _allowed_lists(
    allowed: Bool[np.ndarray, "S N"] | None, states: int, num_items: int
) -> Int[np.ndarray, "S K"]:
    """Rows of item ids, padded with N to the longest row."""
    if allowed is None:
        return np.zeros((states, 0), np.int32)
    order = np.argsort(~allowed, axis=1, kind="stable")[:, : int(allowed.sum(axis=1).max())]
    return np.where(np.take_along_axis(allowed, order, axis=1), order, num_items).astype(np.int32)
