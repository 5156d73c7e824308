"""A factorisation of the offline users' logs alone."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ialp_jax.data.dataset import Dataset, offline_declined, offline_interactions, offline_users
from ialp_jax.ranges import Weight, at_least, within
from ialp_jax.values import checked
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factorisation import Factors, factorise, make_pairs
from ialp_jax.worlds.fit.factors import observed_pairs


@dataclass(frozen=True)
@checked
class FactorsConfig:
    """Factorisation of the offline users' logs."""

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


def offline_factors(dataset: Dataset, config: FactorsConfig) -> Factors:
    """Factorises the offline users' interactions; `Factors.user` has a row for each of them, in their order."""
    offline = offline_users(dataset)
    rule = FitConfig(unobserved_weight=config.unobserved_weight, grade_weight=config.grade_weight)
    observed = observed_pairs(dataset, rule, offline_interactions(dataset), offline_declined(dataset))
    rows = np.searchsorted(offline, observed.users)
    pairs = make_pairs(rows, observed.items, observed.targets, observed.weights, observed.unobserved)
    shape = (len(offline), dataset.num_items)
    return factorise(
        pairs, shape, config.rank, config.iterations, config.regularisation, observed.unobserved, config.seed
    )
