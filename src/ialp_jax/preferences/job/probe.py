"""Asks a few pairs before a job is paid for: does the model answer with the words that it is asked for?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job.job import Job
from ialp_jax.preferences.judges.base import Judge, Judgement, JudgeRequest
from ialp_jax.preferences.quality.answers import ANSWER_LENGTH, COMMONEST, LEAST_MASS, in_words


def probe(job: Job, judge: Judge, shards: Sequence[int], pairs: int, console: Console) -> None:
    """Asks about the first item of the first states, one each, and says how far the judge keeps to its labels.

    Nothing is written, and no table counts these calls. Judges without labels of one word are not asked.

    Args:
        job: to be judged.
        judge: who will judge it.
        shards: of the job that are missing.
        pairs: most that are asked.
        console: where it is said.

    Raises:
        InputError: if the mean label mass is below what the gate asks of a table by default; a test double may go on.
    """
    labels = judge.info.settings.get("labels")
    asked = _first_pairs(job, shards, pairs)
    if not labels or not asked:
        return
    judgements = judge.judge(asked)
    told = [one for one in judgements if not np.isnan(one.scores[0])]
    masses = [_label_mass(one) for one in told if one.log_yes is not None]
    if not masses:
        return
    counts = Counter(one.raw[0][:ANSWER_LENGTH] for one in told).most_common(COMMONEST)
    mean = float(np.mean(masses))
    answered = in_words(labels, [(answer, count / len(masses)) for answer, count in counts])
    said = f"The label mass of the first {len(masses)} pairs is {mean:.3g}. {answered}"
    if mean < LEAST_MASS and not judge.info.test_double:
        raise InputError(f"the model does not keep to the answers that it is asked for. {said.rstrip('.')}", column="labels",
                         fix="choose labels among its answers (--labels Yes No), use another model, or go on regardless with "
                         f"--probe 0; the gate asks for {LEAST_MASS:g}")  # fmt: skip
    console.print(said, highlight=False, markup=False)


def _first_pairs(job: Job, shards: Sequence[int], pairs: int) -> list[JudgeRequest]:
    counts = job.requests.pairs()
    states = (state for shard in shards for state in job.states_of(shard) if counts[state])
    return [_with_one_item(job.requests.make(state)) for state in islice(states, pairs)]


def _with_one_item(request: JudgeRequest) -> JudgeRequest:
    return replace(request, items=request.items[:1], item_texts=request.item_texts[:1])


def _label_mass(judgement: Judgement) -> float:
    """Of the only pair."""
    assert judgement.log_yes is not None and judgement.log_no is not None
    return float(np.exp(judgement.log_yes[0]) + np.exp(judgement.log_no[0]))
