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
from ialp_jax.worlds.fit.factors import HeldOut, observed_pairs, weighted_targets

MOST_USERS = 500  # sampled for measurements over the whole catalogue

Predictor = Callable[[int], Float[np.ndarray, "N"]]  # user -> score of every item

# What a difference of AUCs must exceed to be told from chance: so many standard errors over users, and so much.
CLEAR_ERRORS, CLEAR_AUC = 2.0, 0.01


@dataclass(frozen=True)
class Accuracy:
    """Of one predictor on the held-out interactions; None where it is not measurable.

    Attributes:
        auc: mean over (at most 500 sampled) users of the probability that a held-out item outranks one the
            user never touched (implicit), or that a held-out item rated above the user's held-out mean
            outranks one that is not (explicit). Ties count half.
        rmse: explicit: root mean square error of held-out ratings. Implicit: the same, weighted as the
            factorisation weighs, over held-out pairs (target 1) and as many sampled pairs nobody logged
            (target 0). None for counts, and for the grades of implicit feedback, which are no targets.
    """

    auc: float | None
    rmse: float | None


@dataclass(frozen=True)
class HeldOutAccuracy:
    """Of the factorisation and of two predictors that do not know the user.

    Attributes:
        of: by name: "factorisation", "popularity" and "mean".
        best_blind: which of the latter two has the higher AUC.
        gain: mean over users of the factorisation's AUC less that one's; None where it is not measurable.
        error: standard error of that mean over users.
    """

    of: dict[str, Accuracy]
    best_blind: str
    gain: float | None
    error: float | None

    @property
    def personal(self) -> bool | None:
        """Whether knowing the user clearly helps; None where that is not measurable."""
        if self.gain is None or self.error is None:
            return None
        return self.gain > max(CLEAR_ERRORS * self.error, CLEAR_AUC)


def rank_auc(scores: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> float:
    """Area under the ROC curve by rank sums (Mann and Whitney 1947), ties half; NaN without both classes."""
    wins = int(positive.sum())
    losses = len(positive) - wins
    if not wins or not losses:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - wins * (wins + 1) / 2) / (wins * losses))


def accuracies(dataset: Dataset, config: FitConfig, held_out: HeldOut) -> HeldOutAccuracy:
    """Accuracy of the factorisation and of two baselines on what it was not fitted to; of a published matrix, which is not
    factorised, the baselines' alone."""
    training = dataset.interactions.filter(pl.Series(~held_out.chosen))
    factors = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), held_out.factors)
    counts = np.bincount(training["item"], minlength=dataset.num_items).astype(float)
    means = _item_means(dataset, config, training, float(factors.mean))

    def factorisation(user: int) -> Float[np.ndarray, "N"]:
        bias = factors.mean + factors.user_bias[user] + factors.item_bias
        return bias + factors.item @ factors.user[user]

    predictors: dict[str, Predictor] = {
        "factorisation": factorisation, "popularity": lambda user: counts, "mean": lambda user: means,
    }  # fmt: skip
    if dataset.known_ratings is not None:
        del predictors["factorisation"]
    aucs, rmse = {}, {}
    for name, predict in predictors.items():
        aucs[name], rmse[name] = _measure(dataset)(dataset, config, held_out.chosen, predict)
    rmse["popularity"] = None
    mean = {name: mean_or_none(of_users) for name, of_users in aucs.items()}
    best = max(("mean", "popularity"), key=lambda name: mean[name] or 0.0)
    gains = aucs["factorisation"] - aucs[best] if "factorisation" in aucs else np.zeros(0)
    gains = gains[np.isfinite(gains)]
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
    of = {name: Accuracy(mean[name], rmse[name]) for name in predictors}
    return HeldOutAccuracy(of, best, mean_or_none(gains), error)


def played_accuracy(
    dataset: Dataset, config: FitConfig, chosen: Bool[np.ndarray, "n"], played: Predictor
) -> Accuracy:
    """Accuracy of the world that is played, where it was made without the chosen interactions.

    Args:
        dataset: the logs.
        config: settings of the fit.
        chosen: interactions that are held out.
        played: its ratings: reweighted, and clipped or graded; or those of the publisher's matrix.
    """
    aucs, rmse = _measure(dataset)(dataset, config, chosen, played)
    return Accuracy(mean_or_none(aucs), None if dataset.feedback == "implicit" else rmse)


def _measure(dataset: Dataset) -> Callable[..., tuple[Float[np.ndarray, "users"], float | None]]:
    return _implicit_accuracy if dataset.feedback == "implicit" else _explicit_accuracy


def mean_or_none(values: Float[np.ndarray, "n"]) -> float | None:
    """Mean of the values that are no NaN; None if there are none."""
    measured = values[~np.isnan(values)]
    return float(np.mean(measured)) if len(measured) else None


def _item_means(
    dataset: Dataset, config: FitConfig, training: pl.DataFrame, mean: float
) -> Float[np.ndarray, "N"]:
    """Best constant prediction of every item under the same weights; the overall mean where unseen."""
    observed, size = observed_pairs(dataset, config, training, dataset.disliked), dataset.num_items
    counts = np.bincount(observed.items, minlength=size)
    mass = np.bincount(observed.items, observed.weights, minlength=size)
    mass = mass + observed.unobserved * (dataset.num_users - counts)
    sums = np.bincount(observed.items, observed.weights * observed.targets, minlength=size)
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
) -> tuple[Float[np.ndarray, "users"], float | None]:
    """AUC of every user for whom there is one, and the error."""
    frame = dataset.interactions
    users, items = frame["user"].to_numpy(), frame["item"].to_numpy()
    _, weights, unobserved = weighted_targets(dataset, config, frame)
    generator = np.random.default_rng(config.seed)
    kept, touched = _rows_by_user(users, held), _touched(dataset)
    aucs, errors, masses = [], [], []
    for user in sampled_users(users[held], config.seed).tolist():
        scores, rows = predict(user), kept[user]
        untouched = np.ones(len(scores), bool)
        untouched[touched[user]] = False
        if not untouched.any():
            continue
        wins, losses = scores[items[rows]], scores[untouched]
        positive = np.arange(len(wins) + len(losses)) < len(wins)
        aucs.append(rank_auc(np.concatenate([wins, losses]), positive))
        sampled = generator.choice(losses, len(wins))
        share = unobserved * len(losses) * config.held_out_fraction / len(wins)
        errors.extend([(1.0 - wins) ** 2, sampled**2])
        masses.extend([weights[rows], np.full(len(wins), share)])
    if not aucs:
        return np.zeros(0), None
    error, mass = np.concatenate(errors), np.concatenate(masses)
    return np.array(aucs), float(np.sqrt(np.sum(mass * error) / np.sum(mass)))


def _touched(dataset: Dataset) -> dict[int, Int[np.ndarray, "r"]]:
    """Every user's items of which the logs say something."""
    pairs = pl.concat([dataset.interactions.select("user", "item"), dataset.disliked]).sort("user")
    users, items = pairs["user"].to_numpy(), pairs["item"].to_numpy()
    return {user: items[rows] for user, rows in _rows_by_user(users, np.ones(len(users), bool)).items()}


def _explicit_accuracy(
    dataset: Dataset, config: FitConfig, held: Bool[np.ndarray, "n"], predict: Predictor
) -> tuple[Float[np.ndarray, "users"], float | None]:
    """AUC of every user, NaN where there is none, and the error."""
    frame = dataset.interactions
    users, items, values = (frame[name].to_numpy() for name in ("user", "item", "value"))
    kept = _rows_by_user(users, held)
    low, high = dataset.rating_range
    aucs, errors = [], []
    for user in sampled_users(users[held], config.seed).tolist():
        scores, truth = predict(user)[items[kept[user]]], values[kept[user]]
        aucs.append(rank_auc(scores, truth > truth.mean()))
        errors.append((np.clip(scores, low, high) - truth) ** 2)
    return np.array(aucs), float(np.sqrt(np.mean(np.concatenate(errors))))
