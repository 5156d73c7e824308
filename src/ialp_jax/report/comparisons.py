"""The paired differences that decide: which method, against which, on which metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.evaluation.statistics import CONFIDENCE, paired_difference
from ialp_jax.report.cards import Card, Rival
from ialp_jax.report.methods import described


def compare(
    cards: Mapping[str, Card], per_seed: Mapping[str, Mapping[str, Float[np.ndarray, " R"]]]
) -> list[dict[str, Any]]:
    """Answers every question of the cards whose two methods have finite values for all seeds.

    Args:
        cards: method -> card; its rivals are the questions. The first of two that compare the same counts.
        per_seed: method -> metric -> one value per seed.

    Returns:
        Rows of `question, method, other, metric, premise` and the fields of `difference`, in the report's order of methods.
    """
    questions: dict[tuple[str, str, str], Rival] = {}
    for name in described(cards):
        for rival in cards[name]["rivals"]:
            questions.setdefault((name, rival["other"], rival["metric"]), rival)
    pairs = {
        key: (per_seed.get(key[0], {}).get(key[2]), per_seed.get(key[1], {}).get(key[2])) for key in questions
    }
    answered = {
        key: (first, second)
        for key, (first, second) in pairs.items()
        if first is not None and second is not None and np.isfinite(first - second).all()
    }
    return [
        {"question": questions[key]["question"], "method": key[0], "other": key[1], "metric": key[2],
         "premise": questions[key]["premise"]} | difference(*values, len(answered))
        for key, values in answered.items()
    ]  # fmt: skip


def difference(
    first: Float[np.ndarray, " R"], second: Float[np.ndarray, " R"], questions: int = 1
) -> dict[str, Any]:
    """What first minus second, seed by seed, shows.

    Args:
        first: finite values, one per seed.
        second: those of the same seeds.
        questions: how many such differences are looked at together. The more there are the wider the interval that a
            verdict rests on, so that with a chance of at least 95 % none is called clear that is not there (Bonferroni).

    Returns:
        `mean, low, high, seeds_above, seeds, verdict`: the interquartile mean of the per-seed differences with its
        own 95 % interval (`low`, `high` None for one seed), in how many seeds the difference is above zero, and "higher",
        "lower" (the interval that the verdict rests on excludes zero) or "not clear".
    """
    paired = paired_difference(first, second)
    corrected = paired_difference(first, second, confidence=1.0 - (1.0 - CONFIDENCE) / questions)
    verdict = ("higher" if paired.mean > 0 else "lower") if corrected.excludes_zero else "not clear"
    return {
        "mean": paired.mean,
        "low": paired.low if first.size > 1 else None,
        "high": paired.high if first.size > 1 else None,
        "seeds_above": int((first > second).sum()),
        "seeds": int(first.size),
        "verdict": verdict,
    }
