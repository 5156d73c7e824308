"""From a similarity and popularity to a probability, fitted to what the offline users met and liked afterwards.

The score is sigmoid(b + w . x) with x = (similarity of the history and the item, log popularity). It is fitted by
logistic regression to the offline users' held-out interactions: one of grade g counts as g of a liked pair and 1 - g
of a not-liked one; a pair never met counts as not liked. Pairs never met are sampled at a rate r, and the not-liked
part of met pairs is weighted by r as well, so that log r added to the intercept gives the probability over all pairs
outside the history (case-control correction; King and Zeng 2001, "Logistic regression in rare events data",
section 4.1).

Popularity is counted in other users: the offline users form `FOLDS` groups, and a state reads the counts of
the other groups, so that no user's own held-out interactions reach the judgements about that user.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.states import UserStates, interactions_of
from ialp_jax.ranges import Count, at_least
from ialp_jax.values import checked

FOLDS = 5
CALIBRATED = (
    "calibrated on the offline users' held-out interactions, each counted by its grade, to the probability that a user "
    "meets and likes the item"
)
"""What the fit is, for a judge's statement."""
Similar = Callable[[Int[np.ndarray, " P"], Int[np.ndarray, " P"]], Float[np.ndarray, " P"]]
"""Similarity of pairs, by the rows of their states and the ids of their items."""


@dataclass(frozen=True)
@checked
class FitConfig:
    """Settings of the fit.

    Attributes:
        popularity_prior: also use how popular an item is in the offline users' logs.
        negatives: sampled pairs never met, per held-out interaction.
        seed: of that sample.
    """

    popularity_prior: bool = True
    negatives: Count = 10
    seed: Annotated[int, at_least(0)] = 0


@dataclass(frozen=True)
class HeldOutFit:
    """A fitted probability.

    Attributes:
        weights: of the similarity and, where it is read, of log popularity.
        intercept: corrected for the sample.
        log_popularity: by fold and item; None where it is not read.
        settings: what a reader should know of the fit.
    """

    weights: Float[np.ndarray, " F"]
    intercept: float
    log_popularity: Float[np.ndarray, "FOLDS N"] | None
    settings: dict[str, float]

    def logits(
        self, similar: Float[np.ndarray, " P"], folds: Int[np.ndarray, " P"], items: Int[np.ndarray, " P"]
    ) -> Float[np.ndarray, " P"]:
        """b + w . x of pairs, by their similarity, the folds of their users and the ids of their items."""
        return features(similar, self.log_popularity, folds, items) @ self.weights + self.intercept


def folds_of(states: UserStates) -> Int[np.ndarray, " S"]:
    """Fold of each state: the offline users in turn."""
    return np.arange(states.users.size) % FOLDS


def log_popularity(dataset: Dataset, states: UserStates) -> Float[np.ndarray, "FOLDS N"]:
    """Log share of the offline users outside each fold who met an item."""
    state, item, _ = interactions_of(dataset, states.users)
    folds = folds_of(states)
    counts = np.zeros((FOLDS, dataset.num_items))
    np.add.at(counts, (folds[state], item), 1)
    users = np.bincount(folds, minlength=FOLDS)
    others = counts.sum(axis=0) - counts
    # Half a user is added (and one to the users): an item nobody met is rare, not impossible.
    return np.log((others + 0.5) / (users.sum() - users + 1)[:, None])


def features(
    similar: Float[np.ndarray, " P"],
    popularity: Float[np.ndarray, "FOLDS N"] | None,
    folds: Int[np.ndarray, " P"],
    items: Int[np.ndarray, " P"],
) -> Float[np.ndarray, "P F"]:
    """What the fit reads of pairs."""
    columns = [similar.astype(np.float64)]
    if popularity is not None:
        columns.append(popularity[folds, items])
    return np.stack(columns, axis=1)


def fit_held_out(dataset: Dataset, states: UserStates, similar: Similar, config: FitConfig) -> HeldOutFit:
    """Fits the probability to the held-out interactions of `states`, the offline users'.

    Args:
        dataset: the logs; online users' interactions are never read.
        states: of all offline users.
        similar: similarity of pairs; asked once, about all pairs of the fit.
        config: of the fit.

    Raises:
        InputError: if no offline user has held-out interactions to fit to.
    """
    state, item, grade = interactions_of(dataset, states.users, "held_out")
    likes = grade.astype(np.float64)
    if not likes.any():
        raise InputError("no offline user has a held-out interaction of a grade above 0", column="part",
                         fix="use more users, a shorter history or a lower k-core")  # fmt: skip
    other_state, other_item, rate = _never_met(dataset, states, config.negatives * likes.size, config.seed)
    # Every held-out interaction counts twice: as liked by its grade, as not liked by the rest.
    pairs = np.concatenate([state, state, other_state]), np.concatenate([item, item, other_item])
    popularity = log_popularity(dataset, states) if config.popularity_prior else None
    read = features(similar(*pairs), popularity, folds_of(states)[pairs[0]], pairs[1])
    labels = np.repeat([1, 0, 0], [likes.size, likes.size, other_state.size])
    mass = np.concatenate([likes, rate * (1 - likes), np.ones(other_state.size)])
    # Standardised for the solver; the penalty is too weak to matter and spares the intercept.
    centre, spread = read.mean(axis=0), read.std(axis=0) + 1e-9
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit((read - centre) / spread, labels, sample_weight=mass)
    # Rounded, so that the settings on record are exactly those that judge.
    weights = np.round(model.coef_[0] / spread, 6)
    intercept = round(float(model.intercept_[0] - weights @ centre + np.log(rate)), 6)
    return HeldOutFit(weights, intercept, popularity, {
        "cosine_weight": float(weights[0]),
        "log_popularity_weight": float(weights[1]) if popularity is not None else 0.0,
        "intercept": intercept,
        "held_out_interactions": int(likes.size),
        "sampling_rate": round(rate, 6),
    })  # fmt: skip


def _never_met(
    dataset: Dataset, states: UserStates, count: int, seed: int
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"], float]:
    """Pairs (state, item) without an interaction, sampled uniformly, and the sampling rate."""
    num_items = dataset.num_items
    total = states.users.size * num_items
    if count >= total:
        pairs, rate = np.arange(total), 1.0
    else:
        pairs, rate = np.random.default_rng(seed).integers(total, size=count), count / total
    state, item, _ = interactions_of(dataset, states.users)
    met = state.astype(np.int64) * num_items + item
    pairs = pairs[~np.isin(pairs, met)]
    return pairs // num_items, pairs % num_items, rate
