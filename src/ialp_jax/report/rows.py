"""Figures with a row per method, grouped by family: reward at the start and at the end, and why sessions ended."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ialp_jax.report.figures import INK, blank_figure, fitted, name_rows
from ialp_jax.report.inputs import RunFiles
from ialp_jax.report.methods import Method, by_family, described
from ialp_jax.report.phases import final_sessions, initial_sessions

WIDTH, ROW = 9.0, 0.3  # inches
LONGEST = 34  # characters
LEGEND_COLUMNS = 5
REASONS = {
    "distance": ("too similar", "#0072B2"),
    "rating": ("rating too low", "#D55E00"),
    "category": ("category count", "#CC79A7"),
    "patience": ("out of patience", "#E69F00"),
    "turn_cap": ("stayed to the turn cap", "#8A8A8A"),
}


def initial_final(run: RunFiles, summary: dict[str, Any]) -> str | None:
    """Initial (hollow) and final (filled) reward of each method with intervals."""
    shown = [
        method for method in described(run.cards).values() if "final_reward" in run.per_seed[method.name]
    ]
    if not shown:
        return None
    rows = grouped_rows(shown)
    with blank_figure("initial-final", WIDTH, 0.9 + ROW * len(rows)) as (figure, done):
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            if isinstance(row, Method):
                _points(axes, place, row, summary["methods"][row.name])
        _name_grouped_rows(axes, rows)
        axes.plot(
            [], [], "o", color=INK, markerfacecolor="none", label=f"initial ({initial_sessions(run.phases)})"
        )
        axes.plot([], [], "o", color=INK, label=f"final ({final_sessions(run.phases)})")
        _legend(figure)
        axes.set_xlabel("reward per session")
        return done()


def _points(axes: Axes, place: int, method: Method, metrics: dict[str, Any]) -> None:
    for metric, offset, fill in (
        ("initial_reward", -0.16, "none"),
        ("final_reward", 0.16, method.colour),
    ):
        value = metrics.get(metric, {})
        if value.get("mean") is None:
            continue
        if value["low"] is not None:
            axes.hlines(place + offset, value["low"], value["high"], color=method.colour, linewidth=2)
        axes.plot(value["mean"], place + offset, "o", markersize=6, markeredgecolor=method.colour,
                  markerfacecolor=fill)  # fmt: skip


def departure_reasons(run: RunFiles) -> str | None:
    """Why sessions ended, as shares of each method's sessions; None where no method recorded it."""
    counts = {name: result.get("departures") or {} for name, result in run.results.items()}
    shown = [method for method in described(run.cards).values() if sum(counts[method.name].values()) > 0]
    if not shown:
        return None
    recorded = {reason for method in shown for reason, count in counts[method.name].items() if count > 0}
    reasons = [*(reason for reason in REASONS if reason in recorded), *sorted(recorded - set(REASONS))]
    rows = grouped_rows(shown)
    bars = [(place, counts[row.name]) for place, row in enumerate(rows) if isinstance(row, Method)]
    with blank_figure("departures", WIDTH, 0.9 + ROW * len(rows)) as (figure, done):
        axes = figure.add_subplot()
        left = np.zeros(len(bars))
        for reason in reasons:
            label, colour = REASONS.get(reason, (reason, "#56B4E9"))
            shares = [ended.get(reason, 0) / sum(ended.values()) for _, ended in bars]
            axes.barh([place for place, _ in bars], shares, left=left, color=colour, label=label, height=0.7)
            left += shares
        _name_grouped_rows(axes, rows)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        _legend(figure)
        return done()


def grouped_rows(methods: Iterable[Method]) -> list[Method | str]:
    """The methods, each family after a row with its name; without such rows where there is one family only."""
    families = by_family(methods)
    if len(families) == 1:
        return list(families[0][1])
    rows: list[Method | str] = []
    for family, members in families:
        rows += [family, *members]
    return rows


def _legend(figure: Figure) -> None:
    """Above the axes, from the figure's left edge on: beside long names the axes may be narrower than a legend."""
    figure.legend(loc="outside upper left", ncols=LEGEND_COLUMNS, frameon=False, columnspacing=1.2,
                  handlelength=1.2, labelcolor=INK)  # fmt: skip


def _name_grouped_rows(axes: Axes, rows: list[Method | str]) -> None:
    """Names beside the rows, those of families in bold; the first row on top."""
    name_rows(axes, [fitted(row.label if isinstance(row, Method) else row, LONGEST) for row in rows])
    for row, tick in zip(rows, axes.yaxis.get_major_ticks(), strict=True):
        if not isinstance(row, Method):
            tick.label1.set_fontweight("bold")
            tick.tick1line.set_visible(False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
