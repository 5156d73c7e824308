"""Dataset -> World: a population of simulated users whose tastes are factorised from logs."""

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, histories
from ialp_jax.envs.factorisation import Factors, factorise, make_pairs
from ialp_jax.envs.fit_config import FitConfig
from ialp_jax.envs.fit_report import FitReport, HeldOut, measure_factors, measure_world
from ialp_jax.envs.world import DenseRatings, Departure, FactorRatings, GradedFactorRatings, Ratings, World

SAMPLED_PAIRS = 200_000  # of items, for the percentile of distances
ROWS = 256  # users whose affinities over the catalogue are in memory together


def fit_world(
    dataset: Dataset, config: FitConfig, history_length: int, session_split: str = "online"
) -> tuple[World, FitReport]:
    """Fits the world of a dataset's users on all its logs.

    Implicit feedback becomes graded ratings by each user's own affinity percentiles; explicit ratings a clipped
    factorisation; a complete published matrix is taken as it is. Items are as far apart as their columns of ratings
    (affinities, where rated by grades): root mean square over users for fitted worlds, Euclidean for a published matrix.

    Args:
        dataset: the logs.
        config: settings.
        history_length: H, slots of the history that opens a session.
        session_split: "online" or "offline": whose users open sessions.

    Returns:
        The world and how well it fits.

    Raises:
        InputError: if no user is in the split, or the settings leave nothing to fit on.
    """
    factors, held_out = fit_factors(dataset, config)
    accuracy = measure_factors(dataset, config, held_out)
    ratings, statement = _ratings(dataset, config, factors)
    vectors = _item_vectors(ratings)
    threshold = config.distance_threshold
    if threshold is None:
        threshold = distance_at(vectors, config.distance_percentile, config.seed)
    items, feedback, _ = histories(dataset, history_length)
    low, high = dataset.rating_range
    world = World(
        ratings=ratings,
        rating_low=jnp.float32(low),
        rating_high=jnp.float32(high),
        rating_noise=jnp.float32(config.rating_noise),
        item_vectors=jnp.asarray(vectors, jnp.float32),
        item_categories=jnp.asarray(_categories(dataset, config.top_categories)),
        session_users=jnp.asarray(_users_of(dataset, session_split)),
        initial_items=jnp.asarray(items),
        initial_feedback=jnp.asarray(feedback),
        allowed_items=jnp.zeros((dataset.num_users, 0), jnp.int32),
        departure=_departure(config, threshold),
    )
    return world, measure_world(dataset, config, world, accuracy, vectors, threshold, statement)


def fit_factors(dataset: Dataset, config: FitConfig) -> tuple[Factors, HeldOut]:
    """Factorises all interactions, and once more without the held-out ones for an honest measurement."""
    count = dataset.num_interactions
    held = np.random.default_rng(config.seed).random(count) < config.held_out_fraction
    if held.all() or not held.any():
        raise InputError(f"cannot hold out {config.held_out_fraction} of {count} interactions",
                         column="fit.held_out_fraction", fix="use another fraction or more data")  # fmt: skip
    return _factorise(dataset, config, np.ones(count, bool)), HeldOut(held, _factorise(dataset, config, ~held))


def _factorise(dataset: Dataset, config: FitConfig, chosen: Bool[np.ndarray, "n"]) -> Factors:
    frame = dataset.interactions.filter(pl.Series(chosen))
    implicit = dataset.feedback == "implicit"
    targets = np.ones(frame.height) if implicit else frame["value"].to_numpy()
    weights = 1.0 + config.grade_weight * frame["grade"].to_numpy() if implicit else np.ones(frame.height)
    unobserved = config.unobserved_weight if implicit else 0.0
    pairs = make_pairs(frame["user"].to_numpy(), frame["item"].to_numpy(), targets, weights, unobserved)
    shape = (dataset.num_users, dataset.num_items)
    return factorise(
        pairs, shape, config.rank, config.iterations, config.regularisation, unobserved, config.seed
    )


def _ratings(dataset: Dataset, config: FitConfig, factors: Factors) -> tuple[Ratings, str]:
    if dataset.known_ratings is not None:
        return DenseRatings(jnp.asarray(dataset.known_ratings)), "Ratings: the publisher's complete matrix, as it is."
    users, items = fold(factors, config.popularity_weight)
    low, high = dataset.rating_range
    weighted = f"item means weighted {config.popularity_weight:g}"
    if dataset.feedback == "explicit":
        statement = f"Ratings: rank-{config.rank} factorisation with biases, {weighted}, clipped to {low:g}..{high:g}."
        return FactorRatings(jnp.asarray(users), jnp.asarray(items), jnp.float32(low), jnp.float32(high)), statement
    thresholds = grade_thresholds(users, items, config.grade_percentiles)
    shares = ", ".join(
        f"{grade:g} from the top {100 - percentile:g} %"
        for grade, percentile in zip(config.grades[1:], config.grade_percentiles, strict=True)
    )
    statement = (
        f"Ratings: grades of a rank-{config.rank} implicit-feedback factorisation with biases, {weighted}; "
        f"of each user's own catalogue {shares}, otherwise 0."
    )
    grades = jnp.asarray(config.grades, jnp.float32)
    return GradedFactorRatings(jnp.asarray(users), jnp.asarray(items), jnp.asarray(thresholds), grades), statement


def fold(
    factors: Factors, popularity_weight: float
) -> tuple[Float[np.ndarray, "U k"], Float[np.ndarray, "N k"]]:
    """Folds mean and biases into factors, after scaling the item means' part.

    The affinity is split into mean, item part, user part and interaction with zero item means (user factors centred;
    what the centre contributed belongs to the item part); only the item part, less its mean, is scaled.
    """
    user, item = np.asarray(factors.user, np.float64), np.asarray(factors.item, np.float64)
    centre = user.mean(axis=0)
    item_part = np.asarray(factors.item_bias, np.float64) + item @ centre
    item_part = item_part.mean() + popularity_weight * (item_part - item_part.mean())
    user_part = np.asarray(factors.user_bias, np.float64) + float(factors.mean)
    users = np.column_stack([user - centre, user_part, np.ones(len(user))])
    items = np.column_stack([item, np.ones(len(item)), item_part])
    return users.astype(np.float32), items.astype(np.float32)


def grade_thresholds(
    users: Float[np.ndarray, "U k"], items: Float[np.ndarray, "N k"], percentiles: tuple[float, ...]
) -> Float[np.ndarray, "U G"]:
    """Each user's affinity at the percentiles of the catalogue, midway between two neighbouring items.

    Midway, so that no item sits on a threshold, where rounding would decide its grade.
    """
    last = len(items) - 1
    below = np.clip(np.round(np.asarray(percentiles) / 100 * len(items)).astype(int) - 1, 0, max(last - 1, 0))
    thresholds = []
    for start in range(0, len(users), ROWS):
        affinities = np.sort(users[start : start + ROWS] @ items.T, axis=1)
        thresholds.append((affinities[:, below] + affinities[:, np.minimum(below + 1, last)]) / 2)
    return np.concatenate(thresholds)


def _item_vectors(ratings: Ratings) -> Float[np.ndarray, "N k"]:
    """Points as far apart as the items' rating columns (`DenseRatings`), or their root mean square over users."""
    if isinstance(ratings, DenseRatings):
        return np.asarray(ratings.table.T)
    assert isinstance(ratings, (FactorRatings, GradedFactorRatings))
    return column_points(np.asarray(ratings.users), np.asarray(ratings.items))


def column_points(
    users: Float[np.ndarray, "U k"], items: Float[np.ndarray, "N k"]
) -> Float[np.ndarray, "N k"]:
    """Points x_i with ||x_i - x_j|| = ||R_i - R_j|| / sqrt(U) for the columns of R = users items'.

    ||R_i - R_j||^2 = (v_i - v_j)' U'U (v_i - v_j) = ||C (v_i - v_j)||^2 with C'C = U'U; C by eigenvectors, which, unlike
    Cholesky, accept a singular U'U. Centred, which changes no distance and keeps rounding small.
    """
    values, directions = np.linalg.eigh(users.T.astype(np.float64) @ users / len(users))
    points = items @ (directions * np.sqrt(np.maximum(values, 0.0)))
    return points - points.mean(axis=0)


def distance_at(vectors: Float[np.ndarray, "N k"], percentile: float, seed: int) -> float:
    """Percentile of the distances between two different items, from sampled pairs."""
    count = len(vectors)
    generator = np.random.default_rng(seed)
    first = generator.integers(0, count, SAMPLED_PAIRS)
    second = (first + generator.integers(1, max(count, 2), SAMPLED_PAIRS)) % count
    distances = np.linalg.norm(vectors[first] - vectors[second], axis=1)
    return float(np.percentile(distances, percentile))


def _departure(config: FitConfig, threshold: float) -> Departure:
    return Departure.create(
        distance_threshold=threshold,
        rating_floor=-np.inf if config.rating_floor is None else config.rating_floor,
        category_limit=config.category_limit,
        patience_start=config.patience_start,
        patience_cost=config.patience_cost,
        patience_gain=config.patience_gain,
    )


def _users_of(dataset: Dataset, split: str) -> Int[np.ndarray, "M"]:
    users = dataset.users.filter(pl.col("split") == split)["user"].to_numpy().astype(np.int32)
    if not len(users):
        raise InputError(f"no user is in the split {split!r}", column="split", fix='use "online" or "offline"')
    return users


def _categories(dataset: Dataset, most: int) -> Bool[np.ndarray, "N C"]:
    """Membership in the `most` most frequent categories, most frequent first; ties in alphabetical order."""
    listed = dataset.items.select("item", category="categories").explode("category").drop_nulls().unique()
    counts = listed.group_by("category").len().sort(["len", "category"], descending=[True, False]).head(most)
    columns = {name: column for column, name in enumerate(counts["category"])}
    membership = np.zeros((dataset.num_items, len(columns)), bool)
    for item, category in listed.iter_rows():
        if category in columns:
            membership[item, columns[category]] = True
    return membership
