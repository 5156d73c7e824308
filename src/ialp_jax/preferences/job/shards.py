"""From a judge's answers to the rows of a shard, checked against the contract."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.judges.base import REJECTED, Judgement, JudgeRequest, Usage
from ialp_jax.preferences.table import SCHEMA


def shard_frame(
    requests: Sequence[JudgeRequest], judgements: Sequence[Judgement], judge: str
) -> pl.DataFrame:
    """One row per pair, in the order asked; columns as in `table.SCHEMA`.

    Raises:
        InputError: if the judge's answers do not fit the requests or are not probabilities.
    """
    if len(judgements) != len(requests):
        raise InputError(f"{len(requests)} requests got {len(judgements)} judgements", fix=_fix(judge))
    for request, judgement in zip(requests, judgements, strict=True):
        _check(request, judgement, judge)
    usages = [judgement.usage or Usage.nothing(len(judgement.raw)) for judgement in judgements]
    sizes = [len(request.items) for request in requests]
    return (
        pl.DataFrame(
            {
                "state": np.repeat([request.state for request in requests], sizes),
                "item": [item for request in requests for item in request.items],
                "score": np.concatenate([judgement.scores for judgement in judgements]),
                "log_yes": np.concatenate([_known(one.log_yes, one) for one in judgements]),
                "log_no": np.concatenate([_known(one.log_no, one) for one in judgements]),
                "calls": np.concatenate([usage.calls for usage in usages]),
                "prompt_tokens": np.concatenate([usage.prompt_tokens for usage in usages]),
                "computed_tokens": np.concatenate([usage.computed_tokens for usage in usages]),
                "raw": [answer for judgement in judgements for answer in judgement.raw],
            }
        )
        .with_columns(pl.col("score", "log_yes", "log_no").fill_nan(None))
        .cast(SCHEMA)
    )  # type: ignore[arg-type]


def _known(values: np.ndarray | None, judgement: Judgement) -> np.ndarray:
    return np.full(len(judgement.raw), np.nan, np.float32) if values is None else values


def _check(request: JudgeRequest, judgement: Judgement, judge: str) -> None:
    if not len(judgement.scores) == len(judgement.raw) == len(request.items):
        found = f"{len(judgement.scores)} scores and {len(judgement.raw)} raw answers"
        raise InputError(f"state {request.state}: {len(request.items)} items got {found}", fix=_fix(judge))
    rejected = np.array([answer.startswith(REJECTED) for answer in judgement.raw], bool)
    inside = (judgement.scores >= 0) & (judgement.scores <= 1)
    if not np.all(np.where(rejected, np.isnan(judgement.scores), inside)):
        raise InputError(f"state {request.state}: a score is not in [0, 1]", fix=_fix(judge))


def _fix(judge: str) -> str:
    return f"mend the judge {judge!r}: one Judgement per request, one score in [0, 1] and one answer per item"
