"""Users whom the offline logs suggest: a world to pre-train in, made without the online users and without their simulator."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.data.dataset import Dataset, histories, offline_users
from ialp_jax.marks import Only, Since
from ialp_jax.ranges import Percentile, Rate, Share, Weight, at_least
from ialp_jax.values import checked
from ialp_jax.worlds.fit.affinity import fold, grade_thresholds
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factorisation import Factors
from ialp_jax.worlds.fit.points import column_points, sampled_distances
from ialp_jax.worlds.world import DenseRatings, Departure, FactorRatings, GradedFactorRatings, Ratings, World

Alike = Literal["logs", "text", "both"]


@dataclass(frozen=True)
@checked
class LogsWorldConfig:
    """The offline users' logs as a world of users."""

    calibrated: Annotated[bool, Since(False)] = True
    """Whether recorded sessions of offline users say how much popularity counts, and within which distance users leave."""
    popularity_weight: Annotated[Weight, Only("calibrated", False)] = 1.0
    """Scales the items' means in the affinity; 1 is what the logs say."""
    distance_percentile: Annotated[Percentile, Only("calibrated", False)] = 5.0
    """Users leave where items are nearer than this percentile of the logs' own distances, times the margin."""
    distance_margin: Annotated[Rate, Only("calibrated", False)] = 1.6
    """How much farther apart than that items must be, since the logs' distances are estimates."""
    histories: Annotated[int, at_least(0), Since(0)] = 0
    """Random parts of a user's log with which sessions open, besides the latest interactions; also in the mixed world."""
    exit_rate: Annotated[Share, Only("calibrated", True), Since(0.0005)] = 0.5
    """Users leave within the distance at which recorded turns ended with a user's leaving with more than this chance; a
    half is the likeliest. What a recommender keeps apart is wider, since it would rather not lose a user."""


def logs_world(
    dataset: Dataset,
    factors: Factors,
    config: LogsWorldConfig,
    history_length: int,
    categories: Bool[np.ndarray, "N C"],
    departure: Departure,
) -> World:
    """A world of the offline users, from a factorisation of their logs alone.

    Implicit feedback becomes grades by each user's own affinity percentiles, as `fit_world` makes them of all logs;
    explicit feedback becomes clipped ratings.

    Args:
        dataset: the logs; of the users only the offline ones are read.
        factors: of their interactions, a row of `user` for each of them in their order.
        config: settings.
        history_length: H, slots of the history that opens a session.
        categories: multi-hot categories of the items.
        departure: parameters of the departure rules, whose distance threshold is replaced.
    """
    offline = offline_users(dataset)
    users, items = fold(factors, config.popularity_weight)
    points = column_points(users, items)
    threshold = np.percentile(sampled_distances(points, 0), config.distance_percentile)
    known, feedback, _ = histories(dataset, history_length)
    low, high = dataset.rating_range
    return World(
        ratings=_ratings(dataset, users, items),
        rating_low=jnp.float32(low),
        rating_high=jnp.float32(high),
        rating_noise=jnp.float32(0.0),
        item_vectors=jnp.asarray(points, jnp.float32),
        item_categories=jnp.asarray(categories),
        session_users=jnp.arange(len(offline), dtype=jnp.int32),
        initial_items=jnp.asarray(known[offline]),
        initial_feedback=jnp.asarray(feedback[offline]),
        allowed_items=jnp.zeros((len(offline), 0), jnp.int32),
        departure=departure.replace(distance_threshold=jnp.float32(config.distance_margin * threshold)),  # type: ignore[attr-defined]
    )


def _ratings(dataset: Dataset, users: Float[np.ndarray, "U k"], items: Float[np.ndarray, "N k"]) -> Ratings:
    if dataset.feedback == "explicit":
        low, high = map(jnp.float32, dataset.rating_range)
        return FactorRatings(jnp.asarray(users), jnp.asarray(items), low, high)
    rule = FitConfig()
    thresholds = grade_thresholds(users, items, rule.grade_percentiles)
    grades = jnp.asarray(rule.grades, jnp.float32)
    return GradedFactorRatings(jnp.asarray(users), jnp.asarray(items), jnp.asarray(thresholds), grades)


def mixed_world(
    table: World,
    logs: World,
    users: Int[np.ndarray, "S"],
    weight: Float[np.ndarray, "S"],
    alike: Alike = "logs",
) -> World:
    """The table's imagined users, whose rewards are partly what their own logs suggest.

    Its table `near` must be made again.

    Args:
        table: the preference table's world, rewards in [0, 1].
        logs: the logs' world.
        users: row in the logs' world of every user of the table's.
        weight: of the table's rewards for each of them, in [0, 1].
        alike: whose distances and threshold say how alike items are; "both" is the root mean square of the two distances,
            each in units of its own threshold.
    """
    assert isinstance(table.ratings, DenseRatings)
    rows = [logs.feedback(logs.ratings.of_all(jnp.int32(row))) for row in users]
    share = jnp.asarray(weight, jnp.float32)[:, None]
    rewards = share * table.ratings.table + (1.0 - share) * jnp.stack(rows)
    vectors, threshold = _alike(table, logs, alike)
    return table.replace(  # type: ignore[attr-defined, no-any-return]
        ratings=DenseRatings(rewards), item_vectors=vectors,
        departure=table.departure.replace(distance_threshold=threshold),  # type: ignore[attr-defined]
    )  # fmt: skip


def _alike(table: World, logs: World, alike: Alike) -> tuple[Float[Array, "N k"], Float[Array, ""]]:
    """Items as points, and the distance below which they are too alike."""
    if alike != "both":
        world = {"text": table, "logs": logs}[alike]
        return world.item_vectors, world.departure.distance_threshold
    # Nothing is nearer than a threshold of 0, whatever the other one is.
    scaled = [
        world.item_vectors / jnp.maximum(world.departure.distance_threshold, 1e-12) for world in (table, logs)
    ]
    return jnp.concatenate(scaled, axis=1) / jnp.sqrt(2.0), jnp.float32(1.0)
