"""How well a world fits the logs, and how much of it is mere popularity."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ialp_jax.data.dataset import Dataset
from ialp_jax.worlds.fit.accuracy import Accuracy, mean_or_none, rank_auc, sampled_users
from ialp_jax.worlds.fit.cautions import cautions
from ialp_jax.worlds.fit.settled import SettledFit
from ialp_jax.worlds.world import DenseRatings, FactorRatings, GradedFactorRatings, World, catalogue_ratings

TOP_PERCENTILE = 90.0  # a user's favourites begin here, for the AUCs against the world
DISTANCE_PERCENTILES = (0, 1, 5, 10, 25, 50, 75, 90, 100)


@dataclass(frozen=True)
class FitReport:
    """What a reader must know about a fitted world; None for what has no meaning in it.

    Attributes:
        held_out: accuracy of "world" (what is played: reweighted, and graded or clipped), "factorisation" (from which it is
            made, if it is), "popularity" (training counts) and "mean" (the item's mean target).
        held_out_interactions: how many there were.
        item_mean_share: share of the variance of the world's ratings over users and items that item means
            explain.
        item_mean_auc: AUC of the world's item means against each user's own top 10 % of the catalogue; mean
            over users.
        popularity_auc: the same for the items' counts in the logs.
        user_blind_share: mean rating of the 20 items with the highest means, over the mean rating of each
            user's own best 20: what recommending the same to everybody reaches of what is there, departures
            aside.
        popularity_personal_auc: counts against the top 10 % of the personal part (item means removed).
        popularity_weight: as configured.
        distance_threshold: departure threshold in force.
        distance_percentile: the percentile of item distances at which it lies.
        distances: 0, 1, 5, 10, 25, 50, 75, 90 and 100 % percentiles of the distances between two different
            items.
        regularisation: penalty of the factorisation in force.
        statements: sentences a reader of any later report must see.
        cautions: what a reader must know before results are believed, the dataset's own included.
    """

    held_out: dict[str, Accuracy]
    held_out_interactions: int
    item_mean_share: float | None
    item_mean_auc: float | None
    popularity_auc: float | None
    popularity_personal_auc: float | None
    user_blind_share: float | None
    popularity_weight: float
    distance_threshold: float
    distance_percentile: float
    distances: dict[str, float]
    regularisation: float
    statements: tuple[str, ...]
    cautions: tuple[str, ...]


def measure_world(
    dataset: Dataset,
    settled: SettledFit,
    played: Accuracy,
    world: World,
    distances: Float[np.ndarray, "n"],
    statement: str,
) -> FitReport:
    """Measures what popularity alone explains of a world and puts the report together."""
    config = settled.config
    users = sampled_users(np.asarray(world.session_users), config.seed)
    ratings = np.asarray(catalogue_ratings(world.ratings, users))
    affinities = affinity_rows(world, users)
    means, counts = (
        affinities.mean(axis=0),
        np.bincount(dataset.interactions["item"], minlength=world.num_items),
    )
    threshold = float(world.departure.distance_threshold)
    percentile = float(np.mean(distances < threshold) * 100)
    share = float(ratings.mean(axis=0).var() / ratings.var()) if np.ptp(ratings) > 0 else None
    return FitReport(
        held_out={"world": played, **settled.accuracy.of},
        held_out_interactions=int(settled.held_out.chosen.sum()),
        item_mean_share=share,
        item_mean_auc=favourites_auc(means, affinities),
        popularity_auc=favourites_auc(counts, affinities),
        popularity_personal_auc=favourites_auc(counts, affinities - means),
        user_blind_share=user_blind_share(ratings),
        popularity_weight=config.popularity_weight,
        distance_threshold=threshold,
        distance_percentile=percentile,
        distances={f"{p} %": float(np.percentile(distances, p)) for p in DISTANCE_PERCENTILES},
        regularisation=config.regularisation,
        cautions=cautions(dataset, settled, share),
        statements=(statement, f"Users leave when an item is nearer than {threshold:.4g} to a recent one, "
                    f"the {percentile:.1f} % percentile of item distances (if that rule is in force)."),
    )  # fmt: skip


def affinity_rows(world: World, users: Int[np.ndarray, "r"]) -> Float[np.ndarray, "r N"]:
    """What some users' ratings are made from: affinities neither clipped nor graded, or a table's rows."""
    ratings = world.ratings
    if isinstance(ratings, DenseRatings):
        return np.asarray(ratings.table)[users]
    assert isinstance(ratings, (FactorRatings, GradedFactorRatings))
    return np.asarray(ratings.users)[users] @ np.asarray(ratings.items).T


def user_blind_share(ratings: Float[np.ndarray, "r N"], length: int = 20) -> float | None:
    """Mean rating of the `length` items with the highest means over that of each user's own best `length`; None if that is 0."""
    same = np.argsort(-ratings.mean(axis=0), kind="stable")[:length]
    own = np.sort(ratings, axis=1)[:, -length:]
    return float(ratings[:, same].mean() / own.mean()) if own.mean() else None


def favourites_auc(scores: Float[np.ndarray, "N"], affinities: Float[np.ndarray, "r N"]) -> float | None:
    """Mean over users of the AUC of `scores` against each user's own top 10 % of the catalogue; None if nobody has one."""
    cuts = np.percentile(affinities, TOP_PERCENTILE, axis=1)
    aucs = [rank_auc(scores, row >= cut) for row, cut in zip(affinities, cuts, strict=True)]
    return mean_or_none(np.array(aucs))
