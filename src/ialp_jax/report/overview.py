"""A run of many methods in words: who leads, who beats what needs no learning, and what stays open."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ialp_jax.report.accounts import summary_methods, unproven
from ialp_jax.report.comparisons import difference
from ialp_jax.report.methods import Method
from ialp_jax.report.phases import final_sessions, initial_sessions

MOST_NAMES = 4


def overview(summary: dict[str, Any]) -> list[str]:
    """At most five sentences, however many methods there are.

    Only methods that take part in a comparison can lead or be the bar: one that no card asks about, for example one
    that knows the simulator, is no rival of a policy.
    """
    methods = summary_methods(summary)
    rows = summary["comparisons"]
    compared = {row[side] for row in rows for side in ("method", "other")}
    rivals = {name: method for name, method in methods.items() if name in compared}
    sentences = [
        _leader(summary, rivals, "initial_reward", initial_sessions(summary["phases"])),
        _leader(summary, rivals, "final_reward", final_sessions(summary["phases"])),
        _bar(summary, rivals),
        _questions(rows),
        _doubts(unproven(rows, methods), methods),
    ]
    return [sentence for sentence in sentences if sentence]


def _values(summary: dict[str, Any], names: Iterable[str], metric: str) -> dict[str, Float[np.ndarray, " R"]]:
    """Values per seed of the methods that have one for every seed, from the highest mean to the lowest."""
    measured = {name: summary["methods"][name].get(metric) for name in names}
    complete = {name: value for name, value in measured.items() if value and value["mean"] is not None}
    ranked = sorted(complete, key=lambda name: -complete[name]["mean"])
    return {name: np.array(complete[name]["per_seed"], dtype=float) for name in ranked}


def _leader(summary: dict[str, Any], methods: Mapping[str, Method], metric: str, when: str) -> str:
    """Who earned the most, and how many cannot be told from it; "" where there are not two to compare."""
    values = _values(summary, methods, metric)
    if len(values) < 2:
        return ""
    first, *others = values
    verdicts = {name: difference(values[first], values[name], len(others))["verdict"] for name in others}
    close = [name for name in others if verdicts[name] != "higher"]
    beaten = f"all {len(others)} others compared were clearly below it"
    open_ = f"{len(close)} of the {len(others)} others compared were not clearly below it ({_listed(close, methods)})"
    return (
        f"In the {when} {methods[first].label} earned the most, "
        f"{summary['methods'][first][metric]['mean']:.2f} per session; {open_ if close else beaten}."
    )


def _bar(summary: dict[str, Any], methods: Mapping[str, Method]) -> str:
    """How the learners ended against the strongest policy that learns nothing online; "" without one of each."""
    values = _values(summary, methods, "final_reward")
    frozen = [name for name in values if methods[name].frozen]
    learners = [name for name in values if not methods[name].frozen]
    if not frozen or not learners:
        return ""
    bar = frozen[0]
    verdicts = {name: difference(values[name], values[bar], len(learners))["verdict"] for name in learners}
    words = {"higher": "clearly above", "not clear": "not clearly different from", "lower": "clearly below"}
    groups = {
        word: [name for name in learners if verdicts[name] == verdict] for verdict, word in words.items()
    }
    parts = [
        f"{len(names)} ended {word} it ({_listed(names, methods)})" for word, names in groups.items() if names
    ]
    return (
        f"Of the policies compared that learn nothing online {methods[bar].label} ended highest; of the {len(learners)} "
        f"that learn, {', '.join(parts)}."
    )  # fmt: skip


def _questions(rows: list[dict[str, Any]]) -> str:
    verdicts = [row["verdict"] for row in rows]
    return (
        f"Of the {len(rows)} paired differences that decide, {verdicts.count('higher')} are clearly above zero, "
        f"{verdicts.count('lower')} clearly below, {verdicts.count('not clear')} not clear."
    )


def _doubts(rows: list[dict[str, Any]], methods: Mapping[str, Method]) -> str:
    """Which learners may not have learned at all; "" where there is none."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    rivals = list(dict.fromkeys(row["other"] for row in rows))
    if not names:
        return ""
    return (
        f"Not clearly above a rival that never learns ({_listed(rivals, methods)}) ended {_listed(names, methods)}: "
        f"the budget is too small to judge {'it' if len(names) == 1 else 'them'}."
    )


def _listed(names: list[str], methods: Mapping[str, Method]) -> str:
    """The first few labels and how many more there are."""
    labels = [methods[name].label for name in names[:MOST_NAMES]]
    more = len(names) - len(labels)
    if more:
        return f"{', '.join(labels)} and {more} more"
    return " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)
