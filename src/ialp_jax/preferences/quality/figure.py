"""A table's quality as a figure: reliability diagram, and scores by popularity. Drawn from the numbers alone."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from ialp_jax.artifacts import atomic_path
from ialp_jax.preferences.quality.calibration import Calibration
from ialp_jax.preferences.quality.evaluation import TableQuality

JUDGE, CONTENT, OBSERVED, GREY = "#0072B2", "#E69F00", "#009E73", "#8A8A8A"
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GREY, "grid.alpha": 0.25,
    "text.parse_math": False, "svg.hashsalt": "evaluation",
}  # fmt: skip
# Formulas are off, since a model's name may hold a dollar sign; the scale's own labels would be some.
PLAIN = FuncFormatter(lambda value, _: f"{value:,g}")
FLOOR = 1e-3
"""Below, the probability axes are linear, so that 0 has a place."""


def write_figure(quality: TableQuality, path: Path) -> None:
    """Writes the SVG, atomically; equal numbers give equal bytes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        reliability, by_popularity = figure.subplots(1, 2)
        _draw_reliability(reliability, quality)
        _draw_popularity(by_popularity, quality)
        figure.suptitle(f"{quality.judge_name}: {quality.judge_model}", fontsize=11)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def _draw_reliability(axes: Axes, quality: TableQuality) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="calibrated")
    base = quality.calibration.base_rate
    axes.axhline(base, color=GREY, linewidth=1, linestyle=":", label=f"base rate ({base:.3f})")
    if quality.content_calibration is not None and quality.judge_name != "content":
        _draw_bins(axes, quality.content_calibration, CONTENT, "content judge", "s")
    _draw_bins(axes, quality.calibration, JUDGE, "judge", "o")
    _probability_axis(axes, "x")
    _probability_axis(axes, "y")
    axes.set_xlabel("mean score of the bin")
    axes.set_ylabel("share with a held-out interaction")
    axes.set_title("Reliability, bins of equal mass", fontsize=10)
    axes.legend(frameon=False, fontsize=9)


def _draw_bins(axes: Axes, found: Calibration, colour: str, label: str, marker: str) -> None:
    scores, rates = [one.score for one in found.bins], [one.observed for one in found.bins]
    axes.plot(scores, rates, color=colour, marker=marker, label=label)


def _draw_popularity(axes: Axes, quality: TableQuality) -> None:
    bins = quality.by_popularity
    met = [one.popularity for one in bins]
    axes.plot(met, [one.observed for one in bins], color=OBSERVED, marker="^", label="held-out interaction")
    content = [(at, one.content) for at, one in zip(met, bins, strict=True) if one.content is not None]
    if content and quality.judge_name != "content":
        axes.plot(*zip(*content, strict=True), color=CONTENT, marker="s", label="content judge")
    axes.plot(met, [one.score for one in bins], color=JUDGE, marker="o", label="judge")
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(PLAIN)
    _probability_axis(axes, "y")
    axes.set_xlabel("other offline users who met the item")
    axes.set_ylabel("mean score, share")
    axes.set_title("Scores by popularity", fontsize=10)
    axes.legend(frameon=False, fontsize=9)


def _probability_axis(axes: Axes, which: str) -> None:
    """Logarithmic above `FLOOR`, from 0 to 1."""
    if which == "x":
        axes.set_xscale("symlog", linthresh=FLOOR)
        axes.set_xlim(0, 1)
    else:
        axes.set_yscale("symlog", linthresh=FLOOR)
        axes.set_ylim(0, 1)
    (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(PLAIN)
