"""A sweep's answer on the terminal: one table, from the summary alone."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ialp_jax.report.sweep.headline import headline, named, verdict
from ialp_jax.report.tables import number

SHOWN = 5


def print_sweep(summary: dict[str, Any], console: Console) -> None:
    """Prints the best settings, what cannot be told from them, and the command that repeats the best."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("setting", summary["objective_name"], "minus the best", ""):
        table.add_column(title, justify="left" if title in ("setting", "") else "right")
    for row in summary["best"][:SHOWN]:
        found, behind = row["objective"], row["difference"]
        difference = "" if behind is None else _with_interval(behind)
        table.add_row(escape(named(row)), _with_interval(found), difference, verdict(behind))
    diverged = [row for row in summary["failed"] if row["diverged"]]
    for row in diverged[:SHOWN]:
        table.add_row(escape(row["label"]), "-", "", "[red]diverged[/red]")
    console.print()
    if table.row_count:
        console.print(table)
    for sentence in headline(summary):
        console.print(f"• {escape(sentence)}", highlight=False)
    if summary["best"]:
        console.print(escape(summary["best"][0]["command"]), style="cyan", soft_wrap=True, highlight=False)


def _with_interval(estimate: dict[str, Any]) -> str:
    if estimate["low"] is None:
        return number(estimate["mean"])
    return escape(f"{number(estimate['mean'])} [{number(estimate['low'])}, {number(estimate['high'])}]")
