"""A judge that reads how alike a history and an item are, and how popular the item is; see `held_out_fit` for the formula."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, offline_users
from ialp_jax.preferences.held_out_fit import FitConfig, HeldOutFit, fit_held_out, folds_of
from ialp_jax.preferences.judges.base import (
    JudgeContext,
    JudgeInfo,
    Judgement,
    JudgeRequest,
    require_known,
)
from ialp_jax.preferences.states import of_users, user_states


class Similarity(Protocol):
    """How alike histories and items are; a state's numbers may not depend on which other states are asked about."""

    @property
    def num_items(self) -> int:
        """N."""

    def __call__(
        self, histories: Int[np.ndarray, "S L"], grades: Float[np.ndarray, "S L"],
        rows: Int[np.ndarray, " P"], items: Int[np.ndarray, " P"],
    ) -> Float[np.ndarray, " P"]:  # fmt: skip
        """Cosine of each pair.

        Args:
            histories: item ids, most recent last; id N is padding.
            grades: of the histories' items.
            rows: history of each pair.
            items: item of each pair.
        """


class SimilarityJudge:
    """Judges by similarity and popularity, fitted to the logs."""

    def __init__(
        self, similarity: Similarity, fold: Int[np.ndarray, " U"], fit: HeldOutFit, info: JudgeInfo
    ) -> None:
        self._similarity = similarity
        self._fold = fold
        self._fit = fit
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
            require_known(request, self._similarity.num_items, self._fold.size)
        counts = [len(request.items) for request in requests]
        rows = np.repeat(np.arange(len(requests)), counts)
        items = np.concatenate([np.asarray(request.items, np.int64) for request in requests])
        cosines = self._similarity(*_padded(requests, self._similarity.num_items), rows, items)
        folds = self._fold[[request.user for request in requests]]
        scores = expit(self._fit.logits(cosines, folds[rows], items)).astype(np.float32)
        ends = np.cumsum(counts)[:-1]
        return [
            Judgement(part, [f"cosine {value:.4f}" for value in alike])
            for part, alike in zip(np.split(scores, ends), np.split(cosines, ends), strict=True)
        ]


def logs_of(context: JudgeContext, judge: str, fix: str) -> Dataset:
    """The logs that a judge is to be fitted to.

    Args:
        context: what the judge is built for.
        judge: what it is called, for the message.
        fix: for the message.

    Raises:
        InputError: if there are none.
    """
    if context.dataset is None:
        raise InputError(f"the {judge} judge is fitted to logs, and a job's files hold none", fix=fix)
    return context.dataset


def fitted(
    dataset: Dataset, similarity: Similarity, config: FitConfig, info: Callable[[dict[str, Any]], JudgeInfo]
) -> SimilarityJudge:
    """Fits a judge to the offline users' logs; the online users' interactions are never read.

    Args:
        dataset: the logs.
        similarity: of histories and items.
        config: of the fit.
        info: who judges, given what is to be known of the fit.

    Raises:
        InputError: if no offline user has held-out interactions to fit to.
    """
    states = of_users(user_states(dataset), offline_users(dataset))
    fit = fit_held_out(
        dataset, states, lambda rows, items: similarity(states.items, states.grades, rows, items), config
    )
    # Users whose logs are not read are in no fold: they were not counted, so any fold's counts are clean.
    fold = np.zeros(dataset.num_users, np.int64)
    fold[states.users] = folds_of(states)
    return SimilarityJudge(similarity, fold, fit, info(fit.settings))


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
