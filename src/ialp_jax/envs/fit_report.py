"""How well a world fits the logs, and how much of it is mere popularity."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from ialp_jax.data.dataset import Dataset
from ialp_jax.envs.factorisation import Factors
from ialp_jax.envs.fit_config import FitConfig
from ialp_jax.envs.world import DenseRatings, World

MOST_USERS = 2000  # sampled for measurements over the whole catalogue
MOST_HELD_OUT = 20_000
ROWS = 256


@dataclass(frozen=True)
class HeldOut:
    """Interactions kept from a factorisation, and that factorisation."""

    chosen: Bool[np.ndarray, "n"]
    factors: Factors


@dataclass(frozen=True)
class Accuracy:
    """Of one predictor on the held-out interactions.

    Attributes:
        auc: mean over users of the probability that a held-out item outranks one the user never touched (implicit), or
            that an item rated above the user's held-out mean outranks another of the user's held-out items (explicit).
        rmse: explicit: root mean square error of held-out ratings. Implicit: the same, weighted as the factorisation
            weighs, over held-out pairs (target 1) and sampled pairs nobody logged (target 0).
    """

    auc: float
    rmse: float


@dataclass(frozen=True)
class FitReport:
    """What a reader must know about a fitted world.

    Attributes:
        held_out: accuracy of "factorisation", "popularity" (training counts; rmse as the global mean's, a count being no
            rating) and "mean" (item mean of the training interactions).
        held_out_interactions: how many there were.
        item_mean_share: share of the variance of the world's ratings over all users and items that item means explain.
        item_mean_auc: AUC of the world's item means against each user's own top 10 % of the catalogue; mean over users.
        popularity_auc: the same for training counts of the items.
        popularity_personal_auc: popularity against the top 10 % of the personal part (item means removed).
        popularity_weight: as configured.
        distance_threshold: departure threshold in force.
        distance_percentile: the percentile of item distances where it lies.
        distances: 0, 1, 5, 10, 25, 50, 75, 90, 100 % percentiles of the distances between two different items.
        statements: sentences a reader of any later report must see.
    """

    held_out: dict[str, Accuracy]
    held_out_interactions: int
    item_mean_share: float
    item_mean_auc: float
    popularity_auc: float
    popularity_personal_auc: float
    popularity_weight: float
    distance_threshold: float
    distance_percentile: float
    distances: tuple[float, ...]
    statements: tuple[str, ...]
