"""The paired differences that decide: which method, against which, on which metric."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.evaluation.statistics import paired_difference
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
    rows = []
    for (method, other, metric), rival in questions.items():
        first = per_seed.get(method, {}).get(metric)
        second = per_seed.get(other, {}).get(metric)
        if first is None or second is None or not np.isfinite(first - second).all():
            continue
        names = {"question": rival["question"], "method": method, "other": other, "metric": metric}
        rows.append(names | {"premise": rival["premise"]} | difference(first, second))
    return rows


def difference(first: Float[np.ndarray, " R"], second: Float[np.ndarray, " R"]) -> dict[str, Any]:
    """What first minus second, seed by seed, shows.

    Args:
        first: finite values, one per seed.
        second: those of the same seeds.

    Returns:
        `mean, low, high, seeds_above, seeds, verdict`: the interquartile mean of the per-seed differences with its
        interval (`low`, `high` None for one seed), in how many seeds the difference is above zero, and "higher",
        "lower" (the interval excludes zero) or "not clear".
    """
    paired = paired_difference(first, second)
    verdict = ("higher" if paired.mean > 0 else "lower") if paired.excludes_zero else "not clear"
    return {
        "mean": paired.mean,
        "low": paired.low if first.size > 1 else None,
        "high": paired.high if first.size > 1 else None,
        "seeds_above": int((first > second).sum()),
        "seeds": int(first.size),
        "verdict": verdict,
    }
