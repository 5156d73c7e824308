"""Dataset -> Factors, with a second factorisation that never saw the held-out interactions."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factorisation import Factors, factorise, make_pairs


@dataclass(frozen=True)
class HeldOut:
    """Interactions kept from a factorisation, and that factorisation."""

    chosen: Bool[np.ndarray, "n"]
    factors: Factors


def fit_factors(dataset: Dataset, config: FitConfig) -> tuple[Factors, HeldOut]:
    """Factorises all interactions, and once more without the held-out ones for an honest measurement."""
    count = dataset.num_interactions
    held = np.random.default_rng(config.seed).random(count) < config.held_out_fraction
    if held.all() or not held.any():
        raise InputError(f"cannot hold out {config.held_out_fraction} of {count} interactions",
                         column="fit.held_out_fraction", fix="use another fraction or more data")  # fmt: skip
    everything = np.ones(count, bool)
    return _factorise(dataset, config, everything), HeldOut(held, _factorise(dataset, config, ~held))


def _factorise(dataset: Dataset, config: FitConfig, chosen: Bool[np.ndarray, "n"]) -> Factors:
    frame = dataset.interactions.filter(pl.Series(chosen))
    targets, weights, unobserved = weighted_targets(dataset, config, frame)
    pairs = make_pairs(frame["user"].to_numpy(), frame["item"].to_numpy(), targets, weights, unobserved)
    shape = (dataset.num_users, dataset.num_items)
    return factorise(
        pairs, shape, config.rank, config.iterations, config.regularisation, unobserved, config.seed
    )


def weighted_targets(
    dataset: Dataset, config: FitConfig, frame: pl.DataFrame
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"], float]:
    """Targets and weights of observed pairs, and the weight of an unobserved one (whose target is 0)."""
    if dataset.feedback == "explicit":
        return frame["value"].to_numpy(), np.ones(frame.height), 0.0
    weights = 1.0 + config.grade_weight * frame["grade"].to_numpy().astype(np.float64)
    return np.ones(frame.height), weights, config.unobserved_weight
