"""The embedded default judge: text similarity and popularity, calibrated to a probability. No language model.

The score is sigmoid(b + w . x) with x = (cosine of the history's TF-IDF profile and the item's TF-IDF row,
log popularity). It is fitted by logistic regression to the offline users' held-out interactions: one of
grade g counts as g of a liked pair and 1 - g of a not-liked one; a pair never met counts as not liked. Pairs
never met are sampled at a rate r, and the not-liked part of met pairs is weighted by r as well, so that log r
added to the intercept gives the probability over all pairs outside the history (case-control correction; King
and Zeng 2001, "Logistic regression in rare events data", section 4.1).

Popularity is counted in other users: the offline users form `FOLDS` groups, and a state reads the counts of
the other groups, so that no user's own held-out interactions reach the judgements about that user.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, offline_users
from ialp_jax.preferences.content_vectors import history_profiles, similarities, tfidf
from ialp_jax.preferences.judges.base import JudgeContext, JudgeInfo, Judgement, JudgeRequest
from ialp_jax.preferences.states import (
    UserStates,
    documents,
    interactions_of,
    of_users,
    user_states,
)
from ialp_jax.ranges import Count, at_least
from ialp_jax.values import checked

FOLDS = 5
REVISION = "1"


@dataclass(frozen=True)
@checked
class Config:
    """Settings of the content judge.

    Attributes:
        popularity_prior: also use how popular an item is in the offline users' logs.
        negatives: sampled pairs never met, per held-out interaction.
        seed: of that sample.
    """

    popularity_prior: bool = True
    negatives: Count = 10
    seed: Annotated[int, at_least(0)] = 0


class ContentJudge:
    """Judges by text similarity and popularity; see the module's docstring for the formula."""

    def __init__(
        self,
        vectors: sp.csr_matrix,
        log_popularity: Float[np.ndarray, "FOLDS N"] | None,
        fold: Int[np.ndarray, " U"],
        weights: Float[np.ndarray, " F"],
        intercept: float,
        info: JudgeInfo,
    ) -> None:
        self._vectors = vectors
        self._log_popularity = log_popularity
        self._fold = fold
        self._weights = weights
        self._intercept = intercept
        self._info = info

    @property
    def info(self) -> JudgeInfo:
        """Who judges."""
        return self._info

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """Scores each request's items.

        Raises:
            InputError: if a user or an item is none of the dataset the judge was built from.
        """
        if not requests:
            return []
        for request in requests:
            _check_ids(request, self._vectors.shape[0], self._fold.size)
        counts = [len(request.items) for request in requests]
        rows = np.repeat(np.arange(len(requests)), counts)
        items = np.concatenate([np.asarray(request.items, np.int64) for request in requests])
        histories, grades = _padded(requests, self._vectors.shape[0])
        alike = similarities(history_profiles(self._vectors, histories, grades), self._vectors)
        folds = self._fold[[request.user for request in requests]]
        features = _features(alike[rows, items], self._log_popularity, folds[rows], items)
        scores = expit(features @ self._weights + self._intercept).astype(np.float32)
        ends = np.cumsum(counts)[:-1]
        return [
            Judgement(part, [f"cosine {value:.4f}" for value in cosines])
            for part, cosines in zip(np.split(scores, ends), np.split(features[:, 0], ends), strict=True)
        ]


def build(context: JudgeContext, config: Config) -> ContentJudge:
    """Fits the judge to the offline users' logs; the online users' interactions are never read.

    Raises:
        InputError: if there are no logs, or no offline user's held-out interactions to calibrate with.
    """
    if context.dataset is None:
        raise InputError("the content judge is fitted to logs, and a job's files hold none",
                         fix="use `ialp train` without PREFS, which has the content judge judge")  # fmt: skip
    dataset = context.dataset
    states = of_users(user_states(dataset), offline_users(dataset))
    vectors = tfidf(documents(dataset))
    log_popularity = _log_popularity(dataset, states) if config.popularity_prior else None
    weights, intercept, fit = _calibrate(dataset, states, vectors, log_popularity, config)
    # Users whose logs are not read are in no fold: they were not counted, so any fold's counts are clean.
    fold = np.zeros(dataset.num_users, np.int64)
    fold[states.users] = _folds(states)
    return ContentJudge(vectors, log_popularity, fold, weights, intercept, _info(config, fit))


def _check_ids(request: JudgeRequest, num_items: int, num_users: int) -> None:
    """Refuses ids that no item or user of the logs has; a negative one would stand for another."""
    for column, ids, number in (("items", request.items, num_items), ("history", request.history, num_items),
                                ("user", (request.user,), num_users)):  # fmt: skip
        unknown = [one for one in ids if not 0 <= one < number]
        if unknown:
            raise InputError(f"state {request.state}: {unknown[0]} is none of the ids 0 to {number - 1} of the judge's logs",
                             column=column, fix="ask about requests made from the logs that the judge is fitted to")  # fmt: skip


def _padded(
    requests: Sequence[JudgeRequest], num_items: int
) -> tuple[Int[np.ndarray, "B L"], Float[np.ndarray, "B L"]]:
    """The requests' histories and grades as arrays, left-padded with id N and grade 0."""
    longest = max(len(request.history) for request in requests)
    items = np.full((len(requests), longest), num_items, np.int64)
    grades = np.zeros((len(requests), longest), np.float32)
    for row, request in enumerate(requests):
        start = longest - len(request.history)
        items[row, start:] = request.history
        grades[row, start:] = request.history_grades
    return items, grades


def _folds(states: UserStates) -> Int[np.ndarray, " S"]:
    """Fold of each state: the offline users in turn."""
    return np.arange(states.users.size) % FOLDS


def _log_popularity(dataset: Dataset, states: UserStates) -> Float[np.ndarray, "FOLDS N"]:
    """Log share of the offline users outside each fold who met an item."""
    state, item, _ = interactions_of(dataset, states.users)
    folds = _folds(states)
    counts = np.zeros((FOLDS, dataset.num_items))
    np.add.at(counts, (folds[state], item), 1)
    users = np.bincount(folds, minlength=FOLDS)
    others = counts.sum(axis=0) - counts
    # Half a user is added (and one to the users): an item nobody met is rare, not impossible.
    return np.log((others + 0.5) / (users.sum() - users + 1)[:, None])


def _features(
    alike: Float[np.ndarray, " P"],
    log_popularity: Float[np.ndarray, "FOLDS N"] | None,
    folds: Int[np.ndarray, " P"],
    items: Int[np.ndarray, " P"],
) -> Float[np.ndarray, "P F"]:
    columns = [alike.astype(np.float64)]
    if log_popularity is not None:
        columns.append(log_popularity[folds, items])
    return np.stack(columns, axis=1)


def _calibrate(
    dataset: Dataset,
    states: UserStates,
    vectors: sp.csr_matrix,
    log_popularity: Float[np.ndarray, "FOLDS N"] | None,
    config: Config,
) -> tuple[Float[np.ndarray, " F"], float, dict[str, float]]:
    """Weights, corrected intercept, and what a reader should know of the fit."""
    state, item, grade = interactions_of(dataset, states.users, "held_out")
    likes = grade.astype(np.float64)
    if not likes.any():
        raise InputError("no offline user has a held-out interaction of a grade above 0", column="part",
                         fix="use more users, a shorter history or a lower k-core")  # fmt: skip
    wanted = config.negatives * likes.size
    other_state, other_item, rate = _never_met(dataset, states, wanted, config.seed)
    alike = similarities(history_profiles(vectors, states.items, states.grades), vectors)
    # Every held-out interaction counts twice: as liked by its grade, as not liked by the rest.
    pairs = np.concatenate([state, state, other_state]), np.concatenate([item, item, other_item])
    features = _features(alike[pairs], log_popularity, _folds(states)[pairs[0]], pairs[1])
    labels = np.repeat([1, 0, 0], [likes.size, likes.size, other_state.size])
    mass = np.concatenate([likes, rate * (1 - likes), np.ones(other_state.size)])
    # Standardised for the solver; the penalty is too weak to matter and spares the intercept.
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit((features - centre) / spread, labels, sample_weight=mass)
    # Rounded, so that the settings on record are exactly those that judge.
    weights = np.round(model.coef_[0] / spread, 6)
    intercept = round(float(model.intercept_[0] - weights @ centre + np.log(rate)), 6)
    return weights, intercept, {
        "cosine_weight": float(weights[0]),
        "log_popularity_weight": float(weights[1]) if log_popularity is not None else 0.0,
        "intercept": intercept,
        "held_out_interactions": int(likes.size),
        "sampling_rate": round(rate, 6),
    }  # fmt: skip


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


def _info(config: Config, fit: dict[str, float]) -> JudgeInfo:
    read = "how alike the words of the user's history and of the item are (TF-IDF)"
    if config.popularity_prior:
        read += ", and how many other offline users met the item (popularity prior)"
    return JudgeInfo(
        name="content",
        is_llm=False,
        model="TF-IDF and logistic regression",
        revision=REVISION,
        template_hash="",
        settings={"popularity_prior": config.popularity_prior, "negatives": config.negatives,
                  "seed": config.seed, **fit},
        statement=f"The preferences did not come from an LLM: the content judge scored {read}, calibrated on "
        "the offline users' held-out interactions, each counted by its grade, to the probability that a user "
        "meets and likes the item.",
    )  # fmt: skip
