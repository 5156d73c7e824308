"""The paired differences that decide: which method, against which, on which metric."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.evaluation.statistics import paired_difference


@dataclass(frozen=True)
class Question:
    """`method` minus `other` on `metric`; `text` is what the difference answers."""

    text: str
    method: str
    other: str
    metric: str


QUESTIONS = (
    Question("Does pre-training help at the start?", "ialp", "a2c", "initial_reward"),
    Question("Does RL on the table beat the table alone?", "ialp", "table_greedy", "mean_reward"),
    Question("Does the mixture end above fine-tuning?", "a_ialp_ap_mixture", "a_ialp_ft", "final_reward"),
    Question("Does value choice end above fine-tuning?", "a_ialp_ap_value", "a_ialp_ft", "final_reward"),
    Question("Does the mixture end above A2C?", "a_ialp_ap_mixture", "a2c", "final_reward"),
    Question("Does value choice end above A2C?", "a_ialp_ap_value", "a2c", "final_reward"),
    Question("Does the mixture earn more than A2C overall?", "a_ialp_ap_mixture", "a2c", "mean_reward"),
    Question("Does value choice earn more than A2C overall?", "a_ialp_ap_value", "a2c", "mean_reward"),
    Question("Does fine-tuning earn more than A2C overall?", "a_ialp_ft", "a2c", "mean_reward"),
    Question("Does A2C learn past random?", "a2c", "random", "final_reward"),
    Question("Does A2C learn past popularity?", "a2c", "popular", "final_reward"),
    Question("Is popularity already a strong policy?", "popular", "random", "mean_reward"),
)


def compare(per_seed: dict[str, dict[str, Float[np.ndarray, " R"]]]) -> list[dict[str, Any]]:
    """Answers every question whose two methods have finite values for all seeds.

    Returns:
        Rows of `question, method, other, metric, mean, low, high, seeds_above, seeds, verdict`: the
        interquartile mean of the per-seed differences with its interval (`low`, `high` None for one seed), in
        how many seeds the difference is above zero, and "higher", "lower" (the interval excludes zero) or
        "not clear".
    """
    rows = []
    for question in QUESTIONS:
        first = per_seed.get(question.method, {}).get(question.metric)
        second = per_seed.get(question.other, {}).get(question.metric)
        if first is None or second is None or not np.isfinite(first - second).all():
            continue
        found = paired_difference(first, second)
        verdict = ("higher" if found.mean > 0 else "lower") if found.excludes_zero else "not clear"
        rows.append(
            {
                "question": question.text,
                "method": question.method,
                "other": question.other,
                "metric": question.metric,
                "mean": found.mean,
                "low": found.low if first.size > 1 else None,
                "high": found.high if first.size > 1 else None,
                "seeds_above": int((first > second).sum()),
                "seeds": int(first.size),
                "verdict": verdict,
            }
        )
    return rows
