"""Steps per second against users, both logarithmic: one panel per workload, one line per catalogue, floors dashed."""

import re
from io import StringIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ialp_jax.bench.pages.table import rate
from ialp_jax.bench.results import Measured, Results
from ialp_jax.bench.subjects.workloads import WORKLOADS
from ialp_jax.report.figures import INK, STYLE

# Light to dark is small to large; every step is readable on a white page and on a dark one.
SHADES = ("#E69F00", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#8A8A8A")
COLUMNS = 2


def throughput(results: Results) -> str | None:
    """The figure as SVG for a page; None if nothing was measured."""
    names = list(dict.fromkeys(point.workload for point in results.points))
    if not names:
        return None
    catalogues = sorted({point.items for point in results.points})
    colours = {items: SHADES[index % len(SHADES)] for index, items in enumerate(catalogues)}
    rows = -(-len(names) // COLUMNS)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "throughput"}):
        figure = Figure(figsize=(10.0, 0.6 + 3.1 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True).flatten()
        for axes, name in zip(panels, names, strict=False):
            _panel(axes, [point for point in results.points if point.workload == name], colours)
            axes.set_title(WORKLOADS[name].title, fontsize=10, loc="left", color=INK)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        _axis_names(panels, len(names))
        figure.legend(handles=_legend(colours), loc="outside upper left", ncols=len(colours) + 1, frameon=False,
                      labelcolor=INK, fontsize=9)  # fmt: skip
        stream = StringIO()
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(stream.getvalue())


def _panel(axes: Axes, points: list[Measured], colours: dict[int, str]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for items, colour in colours.items():
        line = sorted((point for point in points if point.items == items), key=lambda point: point.users)
        if not line:
            continue
        users = [point.users for point in line]
        speed = [point.steps_per_s for point in line]
        below = [each.median - each.low for each in speed]
        above = [each.high - each.median for each in speed]
        axes.errorbar(users, [each.median for each in speed], yerr=[below, above], color=colour, marker="o",
                      markersize=4, linewidth=1.8, elinewidth=1.2, capsize=2)  # fmt: skip
        floor = [point.steps_per_call / point.floor_s["total"] for point in line]
        axes.plot(users, floor, color=colour, linestyle="--", marker="_", linewidth=1.2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda users, _: f"{users:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda speed, _: rate(speed)))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    for axis in (
        axes.xaxis,
        axes.yaxis,
    ):  # on a short axis matplotlib names the small ticks too, in its own way
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    axes.margins(x=0.06)


def _axis_names(panels, shown: int) -> None:  # type: ignore[no-untyped-def]
    """Names at the outer edge only; with an odd number of panels the one above the gap needs its ticks too."""
    for index in range(shown):
        if index % COLUMNS == 0:
            panels[index].set_ylabel("user-steps per second", fontsize=9)
        if index >= shown - COLUMNS:
            panels[index].set_xlabel("users served at once", fontsize=9)
            panels[index].tick_params(labelbottom=True)


def _legend(colours: dict[int, str]) -> list[Line2D]:
    lines = [
        Line2D([], [], color=colour, marker="o", markersize=4, linewidth=1.8, label=f"{items:,} items")
        for items, colour in colours.items()
    ]
    return [
        *lines,
        Line2D([], [], color="#8A8A8A", linestyle="--", linewidth=1.2, label="what the floor allows"),
    ]


def _inline(svg: str) -> str:
    """Fits a stand-alone SVG into a page: no prologue, fluid size, the page's text colour."""
    svg = svg[svg.index("<svg") :].replace(INK.upper(), "currentColor").replace(INK, "currentColor")
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*"', r"<svg \1", svg, count=1)
