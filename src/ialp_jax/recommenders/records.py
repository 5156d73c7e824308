"""What users who were recorded answered to an item, by how alike their tastes are to another user's."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.ranges import Count
from ialp_jax.recommenders.calibration import answers
from ialp_jax.recommenders.fold_in import OfflineFactors
from ialp_jax.values import checked

QUERIES = 256
"""Users and items whose records are looked through together: what an update holds does not grow with its rollout."""


@dataclass(frozen=True)
@checked
class RecordsConfig:
    """Which records of an item count."""

    neighbours: Count = 10
    """k: nearest records of an item whose feedback is averaged; all of those looked through where they are fewer."""
    looked: Count = 256
    """Records of an item that are looked through, the first in the order of the logs where there are more."""


@struct.dataclass
class Records:
    """What recorded users answered, ordered by items.

    Attributes:
        direction: of each user's taste, unit length; 0 where a history says nothing.
        feedback: to each recorded item, in [0, 1].
        start: of each item's records; those of item a are from start[a] to start[a + 1].
    """

    direction: Float[Array, "R k"]
    feedback: Float[Array, "R"]
    start: Int[Array, "N+1"]


@struct.dataclass
class Nearest:
    """What the k nearest records of an item say of a user.

    Attributes:
        feedback: their mean; 0 where there is none.
        distance: their mean distance, in [0, 1]; 1, the largest, where there is none.
        count: how many there are, at most k.
    """

    feedback: Float[Array, "*s"]
    distance: Float[Array, "*s"]
    count: Int[Array, "*s"]


def directions(taste: Float[Array, "B k"]) -> Float[Array, "B k"]:
    """Tastes at unit length; 0 stays 0."""
    return taste / jnp.maximum(jnp.linalg.norm(taste, axis=1, keepdims=True), 1e-12)


def records_of(factors: OfflineFactors, logged: LoggedSessions) -> Records:
    """All turns of logged sessions, of users by the history that opened each session."""
    given = answers(factors, logged)
    order = jnp.argsort(given.item, stable=True)
    items = jnp.arange(factors.item.shape[0] + 1, dtype=given.item.dtype)
    start = jnp.searchsorted(given.item[order], items).astype(jnp.int32)
    return Records(directions(given.taste)[order], given.feedback[order], start)


def nearest_records(
    records: Records, direction: Float[Array, "Q k"], item: Int[Array, "Q"], config: RecordsConfig
) -> Nearest:
    """The nearest records of each user's item, by d = (1 - cos(taste, theirs)) / 2.

    Args:
        records: what was recorded.
        direction: of each user's taste, as `directions` gives it.
        item: of each user.
        config: how many are averaged, and how many looked through.
    """

    most = min(config.neighbours, config.looked)

    def of_one(query: tuple[Float[Array, "k"], Int[Array, ""]]) -> Nearest:
        taste, wanted = query
        place = records.start[wanted] + jnp.arange(config.looked, dtype=jnp.int32)
        recorded = place < records.start[wanted + 1]
        place = jnp.minimum(place, records.feedback.shape[0] - 1)
        distance = 0.5 * (1.0 - jnp.clip(records.direction[place] @ taste, -1.0, 1.0))
        nearness, chosen = jax.lax.top_k(jnp.where(recorded, -distance, -jnp.inf), most)
        counted = jnp.isfinite(nearness)
        count = jnp.sum(counted, dtype=jnp.int32)
        number = jnp.maximum(count, 1).astype(jnp.float32)
        feedback = jnp.sum(jnp.where(counted, records.feedback[place[chosen]], 0.0)) / number
        mean_distance = jnp.sum(jnp.where(counted, -nearness, 0.0)) / number
        return Nearest(feedback, jnp.where(count > 0, mean_distance, 1.0), count)

    nearest: Nearest = jax.lax.map(of_one, (direction, item), batch_size=QUERIES)
    return nearest
