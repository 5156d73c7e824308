"""Dataset -> Factors, of all interactions or of all but those that are held out."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factorisation import Factors, factorise, make_pairs


@dataclass(frozen=True)
class HeldOut:
    """Interactions kept from a factorisation, and that factorisation."""

    chosen: Bool[np.ndarray, "n"]
    factors: Factors


def fit_factors(dataset: Dataset, config: FitConfig) -> Factors:
    """Factorises all interactions."""
    return _factorise(dataset, config, np.ones(dataset.num_interactions, bool))


def hold_out(dataset: Dataset, config: FitConfig) -> HeldOut:
    """Factorises all interactions but some, for an honest measurement.

    Raises:
        InputError: if that would be none or all of them.
    """
    count = dataset.num_interactions
    held = np.random.default_rng(config.seed).random(count) < config.held_out_fraction
    if held.all() or not held.any():
        raise InputError(f"cannot hold out {config.held_out_fraction} of {count} interactions",
                         column="fit.held_out_fraction", fix="use another fraction or more data")  # fmt: skip
    return HeldOut(held, _factorise(dataset, config, ~held))


def _factorise(dataset: Dataset, config: FitConfig, chosen: Bool[np.ndarray, "n"]) -> Factors:
    observed = observed_pairs(
        dataset, config, dataset.interactions.filter(pl.Series(chosen)), dataset.disliked
    )
    pairs = make_pairs(
        observed.users, observed.items, observed.targets, observed.weights, observed.unobserved
    )
    shape = (dataset.num_users, dataset.num_items)
    return factorise(
        pairs, shape, config.rank, config.iterations, config.regularisation, observed.unobserved, config.seed
    )


@dataclass(frozen=True)
class Observed:
    """What logs say of pairs, and the weight of a pair of which they say nothing (whose target is 0)."""

    users: Int[np.ndarray, "n"]
    items: Int[np.ndarray, "n"]
    targets: Float[np.ndarray, "n"]
    weights: Float[np.ndarray, "n"]
    unobserved: float


def observed_pairs(
    dataset: Dataset, config: FitConfig, frame: pl.DataFrame, disliked: pl.DataFrame
) -> Observed:
    """Some of the dataset's interactions, and some of what it says was disliked: target 0, the weight of a grade of 0."""
    targets, weights, unobserved = weighted_targets(dataset, config, frame)
    users, items = (
        np.concatenate([frame[name].to_numpy(), disliked[name].to_numpy()]) for name in ("user", "item")
    )
    targets = np.append(targets, np.zeros(disliked.height))
    return Observed(users, items, targets, np.append(weights, np.ones(disliked.height)), unobserved)


def weighted_targets(
    dataset: Dataset, config: FitConfig, frame: pl.DataFrame
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"], float]:
    """Targets and weights of interactions, and the weight of an unobserved pair (whose target is 0)."""
    if dataset.feedback == "explicit":
        return frame["value"].to_numpy(), np.ones(frame.height), 0.0
    weights = 1.0 + config.grade_weight * frame["grade"].to_numpy().astype(np.float64)
    return np.ones(frame.height), weights, config.unobserved_weight
