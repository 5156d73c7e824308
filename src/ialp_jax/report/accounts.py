"""A run of few methods in words: a sentence for every method that was compared with others."""

from collections.abc import Iterable, Mapping
from typing import Any

from ialp_jax.report.methods import Method, by_family, described
from ialp_jax.report.phases import initial_sessions

Row = dict[str, Any]
PHASES = {"final_reward": "ended", "mean_reward": "over the whole run was"}


def accounts(summary: dict[str, Any]) -> list[str]:
    """Sentences, from the rows of `comparisons.compare`.

    First what every comparison of the start shows; then how each method that learns online ended and what it earned
    over the whole run; last what this budget cannot show.
    """
    methods = summary_methods(summary)
    rows = summary["comparisons"]
    doubtful = unproven(rows, methods)
    ordered = {
        method.name: [row for row in rows if row["method"] == method.name] for method in methods.values()
    }
    sentences = [
        *(beginning(summary, row, methods) for row in rows if row["metric"] == "initial_reward" and not row["premise"]),
        *(
            _course(methods[name], [row for row in own if row not in doubtful], methods)
            for name, own in ordered.items()
            if not methods[name].frozen
        ),
        *(_doubt(methods[name], [row for row in own if row in doubtful], methods) for name, own in ordered.items()),
    ]  # fmt: skip
    return [sentence for sentence in sentences if sentence]


def summary_methods(summary: dict[str, Any]) -> dict[str, Method]:
    """Method by name, in the report's order, of a run's summary."""
    return described({name: method["card"] for name, method in summary["methods"].items()})


def unproven(rows: Iterable[Row], methods: Mapping[str, Method]) -> list[Row]:
    """Where a method that learns online did not clearly end above one of a family that does not learn at all.

    Without that the budget was too small to say anything else of the learner.
    """
    fixed = {
        family for family, members in by_family(methods.values()) if all(member.frozen for member in members)
    }
    return [
        row
        for row in rows
        if row["metric"] == "final_reward"
        and not methods[row["method"]].frozen
        and methods[row["other"]].family in fixed
        and row["verdict"] != "higher"
    ]


def _difference(row: Row) -> str:
    interval = "one seed" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"
    return f"{row['mean']:+.2f}, {interval}"


def beginning(summary: dict[str, Any], row: Row, methods: Mapping[str, Method]) -> str:
    """What a method was worth before much was learnt online."""
    first, second = (
        f"{summary['methods'][row[side]][row['metric']]['mean']:.2f}" for side in ("method", "other")
    )
    verdict = {"higher": "clearly more", "lower": "clearly less"}.get(row["verdict"], "no clear difference")
    return (
        f"In the {initial_sessions(summary['phases'])} {methods[row['method']].label} earned {first} per session and "
        f"{methods[row['other']].label} {second}: {verdict} ({_difference(row)})."
    )


def _course(method: Method, rows: list[Row], methods: Mapping[str, Method]) -> str:
    """How a learner ended, and its whole run, each against its rivals; "" where it has none."""
    words = {"higher": "clearly above", "lower": "clearly below"}
    parts = []
    for metric, when in PHASES.items():
        against = [
            f"{words.get(row['verdict'], 'not clearly different from')} {methods[row['other']].label} "
            f"({_difference(row)})"
            for row in rows
            if row["metric"] == metric
        ]
        if against:
            parts.append(f"{when} {' and '.join(against)}")
    return f"{method.label} {'; '.join(parts)}." if parts else ""


def _doubt(method: Method, rows: list[Row], methods: Mapping[str, Method]) -> str:
    """Whether a learner learned at all, without which the rest says little; "" where nothing is in doubt."""
    if not rows:
        return ""
    rivals = " or ".join(f"{methods[row['other']].label} ({_difference(row)})" for row in rows)
    return f"{method.label} did not clearly end above {rivals}: the budget is too small to judge it."
