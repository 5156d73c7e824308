"""Imagined users who open sessions with other parts of their logs: what is known of a user is one sample of many.

With one history each, a policy that is pre-trained long enough knows the imagined users by heart, and strangers less well.
"""

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Float, Int

from ialp_jax.data.dataset import Dataset, offline_users
from ialp_jax.worlds.world import CopiedRatings, World


def sampled_histories(
    dataset: Dataset, users: Int[np.ndarray, "U"], length: int, copies: int, seed: int
) -> tuple[Int[np.ndarray, "U copies L"], Float[np.ndarray, "U copies L"]]:
    """Random parts of the users' logs, as long as a history: at most `length` interactions and at most half of them.

    Args:
        dataset: the logs.
        users: whose.
        length: L.
        copies: of every user.
        seed: of the draws.

    Returns:
        Items, in the order of the log and filled on the left with N; grades, 0 where filled.
    """
    generator = np.random.default_rng(seed)
    items = np.full((len(users), copies, length), dataset.num_items, np.int32)
    grades = np.zeros((len(users), copies, length), np.float32)
    rows = {user: row for row, user in enumerate(users.tolist())}
    # Of users whose logs may not be read only the history is known.
    readable = pl.col("user").is_in(offline_users(dataset).tolist()) | (pl.col("part") == "history")
    theirs = pl.col("user").is_in(users.tolist()) & readable & (pl.col("part") != "unread")
    logs = dataset.interactions.filter(theirs).sort("user", "position")
    for (user,), log in logs.group_by("user", maintain_order=True):
        size = min(length, log.height // 2)
        chosen = np.argsort(generator.random((copies, log.height)), axis=1)[:, :size]
        chosen.sort(axis=1)
        items[rows[user], :, length - size :] = log["item"].to_numpy()[chosen]
        grades[rows[user], :, length - size :] = log["grade"].to_numpy()[chosen]
    return items, grades


def with_histories(
    world: World, items: Int[np.ndarray, "U copies L"], grades: Float[np.ndarray, "U copies L"]
) -> World:
    """The same users, each once with the history that they have and once with each of these."""
    users, copies, length = items.shape
    known = np.concatenate([np.asarray(world.initial_items)[:, None], items], axis=1)
    feedback = np.concatenate([np.asarray(world.initial_feedback)[:, None], grades], axis=1)
    total = users * (copies + 1)
    return world.replace(  # type: ignore[attr-defined, no-any-return]
        ratings=CopiedRatings(world.ratings, copies + 1),
        session_users=jnp.arange(total, dtype=jnp.int32),
        initial_items=jnp.asarray(known.reshape(total, length)),
        initial_feedback=jnp.asarray(feedback.reshape(total, length)),
        allowed_items=jnp.repeat(world.allowed_items, copies + 1, axis=0),
    )
