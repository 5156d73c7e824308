"""How well a world and its factorisation predict held-out interactions, beside popularity and item means."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from ialp_jax.data.dataset import Dataset
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factors import HeldOut, weighted_targets

MOST_USERS = 500  # sampled for measurements over the whole catalogue

Predictor = Callable[[int], Float[np.ndarray, "N"]]  # user -> score of every item


@dataclass(frozen=True)
class Accuracy:
    """Of one predictor on the held-out interactions.

    Attributes:
        auc: mean over (at most 500 sampled) users of the probability that a held-out item outranks one the
            user never touched (implicit), or that a held-out item rated above the user's held-out mean
            outranks one that is not (explicit). Ties count half.
        rmse: explicit: root mean square error of held-out ratings. Implicit: the same, weighted as the
            factorisation weighs, over held-out pairs (target 1) and as many sampled pairs nobody logged
            (target 0). None for counts, and for the grades of implicit feedback, which are no targets.
    """

    auc: float
    rmse: float | None


def rank_auc(scores: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> float:
    """Area under the ROC curve by rank sums (Mann and Whitney 1947), ties half; NaN without both classes."""
    wins = int(positive.sum())
    losses = len(positive) - wins
    if not wins or not losses:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - wins * (wins + 1) / 2) / (wins * losses))


def accuracies(
    dataset: Dataset, config: FitConfig, held_out: HeldOut, played: Predictor
) -> dict[str, Accuracy]:
    """Accuracy of "world", of its "factorisation" and of two baselines on what they were not fitted to.

    Args:
        dataset: the logs.
        config: settings of the fit.
        held_out: what to predict, and the factorisation without it.
        played: ratings in the world that is played, made from that factorisation: reweighted, and clipped or graded. Or
            those of the publisher's matrix, which is not factorised: "factorisation" is left out then.
    """
    training = dataset.interactions.filter(pl.Series(~held_out.chosen))
    factors = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), held_out.factors)
    counts = np.bincount(training["item"], minlength=dataset.num_items).astype(float)
    means = _item_means(dataset, config, training, float(factors.mean))

    def factorisation(user: int) -> Float[np.ndarray, "N"]:
        bias = factors.mean + factors.user_bias[user] + factors.item_bias
        return bias + factors.item @ factors.user[user]

    predictors: dict[str, Predictor] = {
        "world": played, "factorisation": factorisation, "popularity": lambda user: counts, "mean": lambda user: means,
    }  # fmt: skip
    if dataset.known_ratings is not None:
        del predictors["factorisation"]
    implicit = dataset.feedback == "implicit"
    measure = _implicit_accuracy if implicit else _explicit_accuracy
    found = {name: measure(dataset, config, held_out.chosen, predict) for name, predict in predictors.items()}
    without_error = ("world", "popularity") if implicit else ("popularity",)
    return found | {name: Accuracy(found[name].auc, None) for name in without_error}


def _item_means(
    dataset: Dataset, config: FitConfig, training: pl.DataFrame, mean: float
) -> Float[np.ndarray, "N"]:
    """Best constant prediction of every item under the same weights; the overall mean where unseen."""
    items, size = training["item"].to_numpy(), dataset.num_items
    targets, weights, unobserved = weighted_targets(dataset, config, training)
    counts = np.bincount(items, minlength=size)
    mass = np.bincount(items, weights, minlength=size) + unobserved * (dataset.num_users - counts)
    sums = np.bincount(items, weights * targets, minlength=size)
    return np.divide(sums, mass, out=np.full(size, mean), where=mass > 0)


def sampled_users(users: Int[np.ndarray, "n"], seed: int) -> Int[np.ndarray, "m"]:
    """At most `MOST_USERS` of the users that occur, in random order."""
    distinct = np.unique(users)
    return np.random.default_rng(seed).permutation(distinct)[:MOST_USERS]


def _rows_by_user(
    users: Int[np.ndarray, "n"], chosen: Bool[np.ndarray, "n"]
) -> dict[int, Int[np.ndarray, "r"]]:
    """Row numbers of every user's chosen interactions; `users` is sorted."""
    rows = np.flatnonzero(chosen)
    distinct, starts = np.unique(users[rows], return_index=True)
    return dict(zip(distinct.tolist(), np.split(rows, starts[1:]), strict=True))


def _implicit_accuracy(
    dataset: Dataset, config: FitConfig, held: Bool[np.ndarray, "n"], predict: Predictor
) -> Accuracy:
    frame = dataset.interactions
    users, items = frame["user"].to_numpy(), frame["item"].to_numpy()
    _, weights, unobserved = weighted_targets(dataset, config, frame)
    generator = np.random.default_rng(config.seed)
    everything, kept = _rows_by_user(users, np.ones(len(users), bool)), _rows_by_user(users, held)
    aucs, errors, masses = [], [], []
    for user in sampled_users(users[held], config.seed).tolist():
        scores, rows = predict(user), kept[user]
        untouched = np.ones(len(scores), bool)
        untouched[items[everything[user]]] = False
        if not untouched.any():
            continue
        wins, losses = scores[items[rows]], scores[untouched]
        positive = np.arange(len(wins) + len(losses)) < len(wins)
        aucs.append(rank_auc(np.concatenate([wins, losses]), positive))
        sampled = generator.choice(losses, len(wins))
        share = unobserved * len(losses) * config.held_out_fraction / len(wins)
        errors.extend([(1.0 - wins) ** 2, sampled**2])
        masses.extend([weights[rows], np.full(len(wins), share)])
    error, mass = np.concatenate(errors), np.concatenate(masses)
    return Accuracy(float(np.mean(aucs)), float(np.sqrt(np.sum(mass * error) / np.sum(mass))))


def _explicit_accuracy(
    dataset: Dataset, config: FitConfig, held: Bool[np.ndarray, "n"], predict: Predictor
) -> Accuracy:
    frame = dataset.interactions
    users, items, values = (frame[name].to_numpy() for name in ("user", "item", "value"))
    kept = _rows_by_user(users, held)
    low, high = dataset.rating_range
    aucs, errors = [], []
    for user in sampled_users(users[held], config.seed).tolist():
        scores, truth = predict(user)[items[kept[user]]], values[kept[user]]
        aucs.append(rank_auc(scores, truth > truth.mean()))
        errors.append((np.clip(scores, low, high) - truth) ** 2)
    return Accuracy(float(np.nanmean(aucs)), float(np.sqrt(np.mean(np.concatenate(errors)))))
