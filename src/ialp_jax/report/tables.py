"""The table that answers the question, the differences that decide, and both for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ialp_jax.report.accounts import summary_methods
from ialp_jax.report.diverged import last_those_that_diverged
from ialp_jax.report.headline import footnote, headline, judge_statement, world_statement
from ialp_jax.report.health import health_line
from ialp_jax.report.methods import Method, by_family
from ialp_jax.report.phases import Phases, final_sessions, initial_sessions

METRICS = {
    "initial_reward": "initial reward",
    "final_reward": "final reward",
    "mean_reward": "mean reward",
    "length": "turns",
    "reward_per_turn": "reward / turn",
    "coverage": "coverage",
    "diversity": "diversity",
    "novelty": "novelty",
    "distinct_lists": "distinct lists",
    "greedy_reward": "greedy reward",
    "sampled_reward": "sampled reward",
}
COUNTED = "the method's own, in the order in which they began; not counted are those that began too late for one of full length to end"
TERMINAL_WIDE = ("initial_reward", "final_reward", "mean_reward")
TERMINAL_NARROW = ("length", "reward_per_turn", "coverage")
TERMINAL_COMPARISONS = 20
DIVERGED = "diverged"
LABEL_WIDTH = 24  # characters; a longer name goes on in the next line


def metric_meaning(name: str, phases: Phases) -> str:
    """What a metric is of, "" where its name says it."""
    return {
        "initial_reward": f"per session, {initial_sessions(phases)}: {COUNTED}",
        "final_reward": f"per session, {final_sessions(phases)}: {COUNTED}",
        "mean_reward": "per session, over all online sessions that are counted",
        "length": f"per session, {final_sessions(phases)}: {COUNTED}",
        "greedy_reward": "per session after training, most probable item",
        "sampled_reward": "per session after training, items drawn",
        "distinct_lists": "different lists of the first five most probable items, per session",
    }.get(name, "")


@dataclass(frozen=True)
class Cell:
    """A number and its interval, formatted; `interval` is "" where there is none."""

    value: str
    interval: str


def number(value: float | None) -> str:
    """Three digits that matter, a dash for None."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def signed(value: float | None) -> str:
    """`number` with its sign."""
    return number(value) if value is None else f"{value:+,.{1 if abs(value) >= 10 else 2}f}"


def count(value: Any) -> str:
    """A whole number with thousands separated, a dash for None."""
    return "-" if value is None else f"{value:,.0f}" if isinstance(value, (int, float)) else str(value)


def cell(found: dict[str, Any] | None) -> Cell:
    """One metric of one method."""
    if not found or found["mean"] is None:
        return Cell("-", "")
    interval = "" if found["low"] is None else f"[{number(found['low'])}, {number(found['high'])}]"
    return Cell(number(found["mean"]), interval)


def present_metrics(summary: dict[str, Any]) -> list[str]:
    """The metrics any method has, the known ones first, in the table's order."""
    present = {
        name
        for method in summary["methods"].values()
        for name, value in method.items()
        if isinstance(value, dict) and "per_seed" in value
    }
    return [*(name for name in METRICS if name in present), *sorted(present - set(METRICS))]


COSTS = {
    "online_steps": ("online steps", "in the users' world, per seed"),
    "pretraining_steps": ("pre-training steps", "in other worlds than the users', per seed"),
    "logged_steps": ("logged steps", "of the recorded sessions that it learns from; they serve all seeds"),
    "judgements": ("judgements", "that made the preference table it rests on; one table serves all seeds"),
    "llm_calls": ("LLM calls", "that these judgements took"),
}
"""What a method takes: its title, and what is counted."""


def present_costs(summary: dict[str, Any]) -> list[str]:
    """The costs that any method has, online steps first."""
    methods = summary["methods"].values()
    return [name for name in COSTS if name == "online_steps" or any(method.get(name) for method in methods)]


def method_groups(summary: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The main table: each family and its rows of `method` (a `Method`), `cells` by metric, and `costs`.

    Methods that diverged come last in theirs.
    """
    metrics, names = present_metrics(summary), present_costs(summary)

    def row(method: Method) -> dict[str, Any]:
        values = summary["methods"][method.name]
        cells = metric_cells(values, metrics)
        return {"method": method, "cells": cells, "costs": [count(values.get(name)) for name in names]}

    families = by_family(summary_methods(summary).values())
    return [
        (family, [row(method) for method in last_those_that_diverged(summary, members)])
        for family, members in families
    ]


def metric_cells(values: dict[str, Any], metrics: Sequence[str]) -> list[Cell]:
    """A method's row of numbers; the first says it of one that diverged."""
    cells = [cell(values.get(metric)) for metric in metrics]
    return [Cell(DIVERGED, ""), *cells[1:]] if values.get("diverged") else cells


def comparison_groups(summary: dict[str, Any]) -> list[tuple[str, list[dict[str, str]]]]:
    """The table of differences: each family and the rows of its methods (see `comparison_rows`)."""
    methods = summary_methods(summary)
    groups: dict[str, list[dict[str, str]]] = {}
    for row, shown in zip(summary["comparisons"], comparison_rows(summary), strict=True):
        groups.setdefault(methods[row["method"]].family, []).append(shown)
    return list(groups.items())


def comparison_rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    """Rows of the table of differences: `question, what, difference, interval, seeds, verdict`."""
    methods = summary_methods(summary)
    return [
        {
            "question": row["question"],
            "what": f"{methods[row['method']].label} - {methods[row['other']].label}, "
            f"{METRICS.get(row['metric'], row['metric'])}",
            "difference": signed(row["mean"]),
            "interval": "" if row["low"] is None else f"[{signed(row['low'])}, {signed(row['high'])}]",
            "seeds": f"{row['seeds_above']} of {row['seeds']}",
            "verdict": row["verdict"] if row["verdict"] == "not clear" else f"clear: {row['verdict']}",
        }
        for row in summary["comparisons"]
    ]


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Prints what a run showed; fits 100 columns."""
    console.print()
    console.print(escape(world_statement(summary)))
    print_judge(summary["preferences"], console)
    console.print(_method_table(summary))
    if len(summary["comparisons"]) > TERMINAL_COMPARISONS:
        console.print(
            f"The {len(summary['comparisons'])} paired differences that decide are in report.html and summary.json."
        )
    elif summary["comparisons"]:
        console.print(_comparison_table(summary))
    for sentence in headline(summary):
        console.print("• " + escape(sentence))
    console.print(f"[dim]{escape(footnote(summary))}[/dim]")
    for sentence in summary["decided"]:
        console.print(escape(sentence), highlight=False)
    if summary["health"]:
        console.print(
            escape(f"Left its range: {health_line(summary['health'])}"), style="yellow", highlight=False
        )
    for note in summary["notes"]:
        console.print(escape(note), style="yellow")
    console.print(f"[dim]{escape(summary['statistic'])}[/dim]")


def print_judge(preferences: dict[str, Any], console: Console) -> None:
    """Prints who judged, as loudly as the reader needs it."""
    severity, statement = judge_statement(preferences)
    style = {"alarm": "bold white on red", "warning": "bold yellow"}.get(severity, "")
    console.print(escape(statement), style=style)


def _method_table(summary: dict[str, Any]) -> Table:
    budget = summary["budget"]
    title = f"{budget['seeds']} seeds, {count(budget['online_steps'])} online steps"
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), title_justify="left", header_style="bold")
    table.add_column("method", overflow="fold", max_width=LABEL_WIDTH)
    for metric in TERMINAL_WIDE:
        table.add_column(METRICS[metric], justify="right", no_wrap=True)
    for metric in TERMINAL_NARROW:
        table.add_column(METRICS[metric].replace("reward / turn", "r/turn"), justify="right", no_wrap=True)
    families = by_family(summary_methods(summary).values())
    indent = " " if len(families) > 1 else ""
    for family, members in families:
        if indent:
            table.add_row(f"[bold]{escape(family)}[/bold]")
        for method in last_those_that_diverged(summary, members):
            table.add_row(indent + escape(method.label), *_terminal_cells(summary["methods"][method.name]))
    return table


def _terminal_cells(metrics: dict[str, Any]) -> list[str]:
    """A method's numbers, the first few with intervals."""
    wide = metric_cells(metrics, TERMINAL_WIDE)
    narrow = [cell(metrics.get(metric)) for metric in TERMINAL_NARROW]
    return [
        *(f"{part.value} [dim]{escape(part.interval)}[/dim]" for part in wide),
        *(part.value for part in narrow),
    ]


def _comparison_table(summary: dict[str, Any]) -> Table:
    table = Table(title="paired differences that decide", box=None, padding=(0, 1, 0, 0),
                  title_justify="left", header_style="bold")  # fmt: skip
    table.add_column("difference", overflow="fold")
    for name in ("mean", "95 % interval", "seeds > 0", "verdict"):
        table.add_column(name, justify="right", no_wrap=True)
    colours = {"clear: higher": "green", "clear: lower": "red"}
    for row in comparison_rows(summary):
        verdict = f"[{colours.get(row['verdict'], 'yellow')}]{row['verdict']}[/]"
        table.add_row(escape(row["what"]), row["difference"], escape(row["interval"]), row["seeds"], verdict)
    return table
