"""Answers about single pairs, and what they make of a request."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ialp_jax.preferences.judges.base import Judgement, Usage


@dataclass(frozen=True)
class Answer:
    """What came of one pair; NaN where it was rejected by rule."""

    raw: str
    log_yes: float = math.nan
    log_no: float = math.nan
    calls: int = 1
    prompt_tokens: int = 0
    computed_tokens: int = 0


def judgement_of(answers: Sequence[Answer]) -> Judgement:
    """The answers about all pairs of a request; the score is P(yes) / (P(yes) + P(no))."""
    log_yes, log_no = (
        np.array([getattr(answer, name) for answer in answers], float) for name in ("log_yes", "log_no")
    )
    usage = Usage(*(np.array([getattr(answer, name) for answer in answers], np.int32)
                    for name in ("calls", "prompt_tokens", "computed_tokens")))  # fmt: skip
    return Judgement(
        expit(log_yes - log_no).astype(np.float32), [answer.raw for answer in answers],
        log_yes.astype(np.float32), log_no.astype(np.float32), usage,
    )  # fmt: skip
