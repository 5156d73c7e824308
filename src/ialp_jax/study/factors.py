"""What the offline users' logs alone say of items: a factorisation, and how alike items are."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.data.dataset import Dataset
from ialp_jax.ranges import Count, Percentile, Weight, at_least, within
from ialp_jax.worlds.fit.affinity import fold
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factorisation import Factors, factorise, make_pairs
from ialp_jax.worlds.fit.factors import weighted_targets
from ialp_jax.worlds.fit.points import column_points


@dataclass(frozen=True)
class FactorsConfig:
    """Factorisation of the offline users' logs, for item embeddings and for what is held alike."""

    rank: Annotated[int, within(1, 1024)] = 16
    """Latent dimensions besides the two biases."""
    iterations: Annotated[int, within(1, 10_000)] = 15
    """Alternating least squares passes over users and items."""
    regularisation: Annotated[float, within(1e-9, 1e9)] = 3.0
    """Ridge penalty on every factor and bias, in units of one observed interaction."""
    unobserved_weight: Annotated[float, within(1e-9, 1e9)] = 0.05
    """Implicit feedback only: weight of a pair nobody logged (target 0) beside an observed one (target 1)."""
    grade_weight: Weight = 1.0
    """Implicit feedback only: an observed pair weighs 1 + this times its grade."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the factors' start."""


@dataclass(frozen=True)
class LikenessConfig:
    """What the recommender keeps apart: nothing is recommended that is too like the last items of the session."""

    source: Literal["logs", "text"] = "logs"
    """Whence the distances of items: the offline users' logs, or the items' texts."""
    percentile: Percentile = 30.0
    """Pairs of items nearer than this percentile of all distances are too alike."""
    window: Count = 4
    """How many of the last recommended items an item must be unlike."""


def reads_factors(item_start: str, likeness: LikenessConfig | None) -> bool:
    """Whether the factors are read: as embeddings, or for what is kept apart (None for nothing)."""
    return item_start in ("factors", "both") or (likeness is not None and likeness.source == "logs")


def offline_factors(dataset: Dataset, config: FactorsConfig) -> Factors:
    """Factorises the offline users' interactions; `Factors.user` has a row for each of them, in their order."""
    offline = dataset.users.filter(pl.col("split") == "offline")["user"].to_numpy()
    frame = dataset.interactions.filter(pl.col("user").is_in(offline.tolist()))
    rule = FitConfig(unobserved_weight=config.unobserved_weight, grade_weight=config.grade_weight)
    targets, weights, unobserved = weighted_targets(dataset, rule, frame)
    rows = np.searchsorted(offline, frame["user"].to_numpy())
    pairs = make_pairs(rows, frame["item"].to_numpy(), targets, weights, unobserved)
    shape = (len(offline), dataset.num_items)
    return factorise(
        pairs, shape, config.rank, config.iterations, config.regularisation, unobserved, config.seed
    )


def likeness_points(factors: Factors) -> Float[np.ndarray, "N k"]:
    """Items as points, as far apart as the offline users' affinities to them."""
    return column_points(*fold(factors, 1.0))


def factor_vectors(factors: Factors) -> Float[np.ndarray, "N k+1"]:
    """Items' factors and means as embeddings whose norm has a root mean square of 1."""
    items = fold(factors, 1.0)[1]
    vectors = np.column_stack([items[:, :-2], items[:, -1] - items[:, -1].mean()])
    scale = np.sqrt(np.mean(np.sum(vectors**2, axis=1)))
    return (vectors / scale).astype(np.float32)
