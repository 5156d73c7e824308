"""Dataset -> World: a population of simulated users whose tastes are factorised from logs."""

from collections import Counter

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, histories
from ialp_jax.worlds.fit.accuracy import Predictor, played_accuracy
from ialp_jax.worlds.fit.affinity import fold, grade_thresholds
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factorisation import Factors
from ialp_jax.worlds.fit.factors import fit_factors
from ialp_jax.worlds.fit.points import column_points, sampled_distances
from ialp_jax.worlds.fit.report import FitReport, measure_world
from ialp_jax.worlds.fit.settled import SettledFit, settle
from ialp_jax.worlds.world import (
    DenseRatings,
    Departure,
    FactorRatings,
    GradedFactorRatings,
    Ratings,
    World,
    catalogue_ratings,
)


def fit_world(
    dataset: Dataset, config: FitConfig, history_length: int, settled: SettledFit | None = None
) -> tuple[World, FitReport]:
    """Fits the world of a dataset's users on all its logs.

    Implicit feedback becomes graded ratings by each user's own affinity percentiles; explicit ratings become
    a clipped factorisation; a complete published matrix is taken as it is. Items are as far apart as their
    columns of affinities (root mean square over users), or, for a published matrix, of ratings (Euclidean, as
    published).

    Args:
        dataset: the logs.
        config: settings.
        history_length: H, slots of the history that opens a session.
        settled: what `settle` made of dataset and settings, if it is known.

    Returns:
        The world and how well it fits.

    Raises:
        InputError: if no user is in the split, or the settings leave nothing to fit on.
    """
    settled = settle(dataset, config) if settled is None else settled
    config, held_out = settled.config, settled.held_out
    played = played_accuracy(dataset, config, held_out.chosen, _played(dataset, config, held_out.factors))
    factors = fit_factors(dataset, config)
    ratings, statement = _ratings(dataset, config, *fold(factors, config.popularity_weight))
    vectors = _item_vectors(ratings)
    distances = sampled_distances(vectors, config.seed)
    threshold = config.distance_threshold
    if threshold is None:
        threshold = float(np.percentile(distances, config.distance_percentile))
    items, feedback, _ = histories(dataset, history_length)
    low, high = dataset.rating_range
    world = World(
        ratings=ratings,
        rating_low=jnp.float32(low),
        rating_high=jnp.float32(high),
        rating_noise=jnp.float32(config.rating_noise),
        item_vectors=jnp.asarray(vectors, jnp.float32),
        item_categories=jnp.asarray(_categories(dataset, config.top_categories)),
        session_users=jnp.asarray(_online_users(dataset)),
        initial_items=jnp.asarray(items),
        initial_feedback=jnp.asarray(feedback),
        allowed_items=jnp.zeros((dataset.num_users, 0), jnp.int32),
        departure=_departure(config, threshold),
    )
    return world, measure_world(dataset, settled, played, world, distances, statement)


def _played(dataset: Dataset, config: FitConfig, factors: Factors) -> Predictor:
    """Ratings of the whole catalogue by one user, in the world that these factors make."""
    known = dataset.known_ratings
    if known is not None:
        return lambda user: known[user]
    users, items = fold(factors, config.popularity_weight)

    def rated(user: int) -> Float[np.ndarray, "N"]:
        ratings, _ = _ratings(dataset, config, users[user : user + 1], items)
        return np.asarray(catalogue_ratings(ratings, np.zeros(1, np.int32)))[0]

    return rated


def _ratings(
    dataset: Dataset,
    config: FitConfig,
    user_side: Float[np.ndarray, "U k"],
    item_side: Float[np.ndarray, "N k"],
) -> tuple[Ratings, str]:
    if dataset.known_ratings is not None:
        statement = "Ratings: the publisher's complete matrix, as it is; nothing is factorised, and nothing held out from it."
        return DenseRatings(jnp.asarray(dataset.known_ratings)), statement
    users, items = jnp.asarray(user_side), jnp.asarray(item_side)
    low, high = dataset.rating_range
    weighted = f"item means weighted {config.popularity_weight:g}"
    if dataset.feedback == "explicit":
        clipped = f"clipped to {low:g}..{high:g}"
        statement = f"Ratings: rank-{config.rank} factorisation with biases, {weighted}, {clipped}."
        return FactorRatings(users, items, jnp.float32(low), jnp.float32(high)), statement
    thresholds = grade_thresholds(np.asarray(users), np.asarray(items), config.grade_percentiles)
    shares = ", ".join(
        f"{grade:g} from the top {100 - percentile:g} %"
        for grade, percentile in zip(config.grades[1:], config.grade_percentiles, strict=True)
    )
    statement = (
        f"Ratings: grades of a rank-{config.rank} implicit-feedback factorisation with biases, {weighted}; "
        f"of each user's own catalogue {shares}, otherwise 0."
    )
    grades = jnp.asarray(config.grades, jnp.float32)
    return GradedFactorRatings(users, items, jnp.asarray(thresholds), grades), statement


def _item_vectors(ratings: Ratings) -> Float[np.ndarray, "N k"]:
    """Points as far apart as the items' columns of ratings or affinities."""
    if isinstance(ratings, DenseRatings):
        return np.asarray(ratings.table.T)
    assert isinstance(ratings, (FactorRatings, GradedFactorRatings))
    return column_points(np.asarray(ratings.users), np.asarray(ratings.items))


def _departure(config: FitConfig, threshold: float) -> Departure:
    return Departure.create(
        distance_threshold=threshold,
        rating_floor=-np.inf if config.rating_floor is None else config.rating_floor,
        category_limit=config.category_limit,
        patience_start=config.patience_start,
        patience_cost=config.patience_cost,
        patience_gain=config.patience_gain,
    )


def _online_users(dataset: Dataset) -> Int[np.ndarray, "M"]:
    users = dataset.users.filter(pl.col("split") == "online")["user"].to_numpy().astype(np.int32)
    if not len(users):
        raise InputError(
            "no user is met online", column="data.offline_fraction", fix="lower it, or give more users"
        )
    return users


def _categories(dataset: Dataset, most: int) -> Bool[np.ndarray, "N C"]:
    """Membership in the `most` most frequent categories, most frequent first; ties in alphabetical order."""
    listed = [set(names) for names in dataset.items["categories"].to_list()]
    counts = Counter(name for names in listed for name in names)
    kept = sorted(counts, key=lambda name: (-counts[name], name))[:most]
    rows = [[name in names for name in kept] for names in listed]
    return np.array(rows, bool).reshape(dataset.num_items, len(kept))
