"""Asks a few pairs before a job is paid for: does the model answer with the words that it is asked for?"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job.job import Job
from ialp_jax.preferences.judges.base import Judge, Judgement, JudgeRequest
from ialp_jax.preferences.quality.answers import LEAST_MASS, commonest, in_words


def probe(job: Job, judge: Judge, shards: Sequence[int], pairs: int, console: Console) -> None:
    """Asks about the first items of the first states, and says how far the judge keeps to its labels.

    Nothing is written, and no table counts these calls. Judges without labels of one word are not asked.

    Args:
        job: to be judged.
        judge: who will judge it.
        shards: of the job that are missing.
        pairs: about as many are asked.
        console: where it is said.

    Raises:
        InputError: if the mean label mass is below what the gate asks of a table by default; a test double may go on.
    """
    labels = judge.info.settings.get("labels")
    asked = _first_pairs(job, shards, pairs)
    if not labels or not asked:
        return
    judgements = judge.judge(asked)
    masses = np.concatenate([_label_masses(one) for one in judgements])
    answers = [answer for one in judgements for answer in one.raw]
    told = np.flatnonzero(~np.isnan(masses))
    if not told.size:
        return
    mean = float(np.mean(masses[told]))
    answered = in_words(labels, commonest([answers[place] for place in told]))
    said = f"The label mass of the first {told.size} pairs is {mean:.3g}. {answered}"
    if mean < LEAST_MASS and not judge.info.test_double:
        raise InputError(f"the model does not keep to the answers that it is asked for. {said.rstrip('.')}", column="labels",
                         fix="choose labels among its answers (--labels WORD WORD), use another model, or go on regardless with "
                         f"--probe 0; the gate asks for {LEAST_MASS:g}")  # fmt: skip
    console.print(said, highlight=False, markup=False)


def _first_pairs(job: Job, shards: Sequence[int], pairs: int) -> list[JudgeRequest]:
    """The first states, with their first item each, or with as many as it takes where they are few."""
    counts = job.requests.pairs()
    states = [state for shard in shards for state in job.states_of(shard) if counts[state]][:pairs]
    each = -(-pairs // max(len(states), 1))
    return [_cut(job.requests.make(state), each) for state in states]


def _cut(request: JudgeRequest, items: int) -> JudgeRequest:
    return replace(request, items=request.items[:items], item_texts=request.item_texts[:items])


def _label_masses(judgement: Judgement) -> Float[np.ndarray, " K"]:
    """Of each pair; NaN where it was rejected, or has none."""
    if judgement.log_yes is None or judgement.log_no is None:
        return np.full(len(judgement.raw), np.nan)
    masses = np.exp(judgement.log_yes.astype(float)) + np.exp(judgement.log_no.astype(float))
    return np.where(np.isnan(judgement.scores), np.nan, masses)
