"""The report's figures, as inline SVG that follows the page's text colour.

matplotlib draws without pyplot, so no global state and no display is involved.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ialp_jax.report.curves import Curve, plain_curve, session_curve
from ialp_jax.report.inputs import RunFiles
from ialp_jax.report.methods import Method, in_order
from ialp_jax.report.phases import final_sessions, initial_sessions

LABEL_GAP = 0.052  # of the axes' height: a line of 9 point text in the lowest figure that has labels
LONGEST_LABEL = 30  # a longer one would leave no room for the axes
INK = "#010203"  # replaced by currentColor: the page decides
REASONS = {
    "distance": ("too similar", "#0072B2"),
    "rating": ("rating too low", "#D55E00"),
    "category": ("category count", "#CC79A7"),
    "patience": ("out of patience", "#E69F00"),
    "turn_cap": ("stayed to the turn cap", "#8A8A8A"),
}
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 10, "text.color": INK, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": "#8A8A8A", "grid.alpha": 0.25,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "svg.fonttype": "none", "text.parse_math": False,
}  # fmt: skip


def learning_curves(run: RunFiles, summary: dict[str, Any], total: str, level: str, label: str) -> str | None:
    """Curves of the learners and dashed levels of the frozen policies, labelled at the right edge.

    Args:
        run: the run's files.
        summary: from `build_summary`; its means give the levels.
        total: which sums to divide by sessions, "reward" or "length".
        level: the metric that is a frozen policy's level, "mean_reward" or "length".
        label: of the vertical axis.

    Returns:
        SVG, or None where the run has no curve to draw.
    """
    if run.bins is None:
        return None
    with new_figure("curves-" + total, 9.0, 4.6) as (axes, done):
        ends: list[tuple[float, Method]] = []
        for method in in_order(list(run.per_seed)):
            height = summary["methods"][method.name].get(level, {}).get("mean")
            if method.frozen and height is not None:
                axes.axhline(height, color=method.colour, linestyle=method.dash, linewidth=1.4)
                ends.append((height, method))
            elif not method.frozen and f"{method.name}/{total}" in run.curves:
                sessions = run.curves.get(f"{method.name}/sessions")
                if sessions is None:
                    continue
                curve = session_curve(run.bins, sessions, run.curves[f"{method.name}/{total}"])
                _draw(axes, curve, method)
                ends.append((_last_finite(curve.middle), method))
        if not ends:
            return None
        _label_ends(axes, ends)
        _steps_axis(axes, run.bins, label)
        return done()


def mixture_weights(run: RunFiles) -> str | None:
    """Mean weight of the pre-trained policy in the mixture over the run; None where none was recorded."""
    names = [name for name in run.per_seed if f"{name}/weight" in run.curves]
    if run.bins is None or not names:
        return None
    with new_figure("weights", 9.0, 2.8) as (axes, done):
        ends = []
        for method in in_order(names):
            curve = plain_curve(run.bins, run.curves[f"{method.name}/weight"])
            _draw(axes, curve, method)
            ends.append((_last_finite(curve.middle), method))
        axes.set_ylim(-0.02, 1.02)
        _label_ends(axes, ends)
        _steps_axis(axes, run.bins, "weight of the pre-trained policy")
        return done()


def initial_final(run: RunFiles, summary: dict[str, Any]) -> str | None:
    """Initial (hollow) and final (filled) reward of each method with intervals, one row per method."""
    methods = [
        method for method in in_order(list(run.per_seed)) if "final_reward" in run.per_seed[method.name]
    ]
    if not methods:
        return None
    with new_figure("initial-final", 9.0, 0.8 + 0.42 * len(methods)) as (axes, done):
        for row, method in enumerate(methods):
            for metric, offset, fill in (
                ("initial_reward", -0.14, "none"),
                ("final_reward", 0.14, method.colour),
            ):
                found = summary["methods"][method.name].get(metric, {})
                if found.get("mean") is None:
                    continue
                if found["low"] is not None:
                    axes.hlines(row + offset, found["low"], found["high"], color=method.colour, linewidth=2)
                axes.plot(found["mean"], row + offset, "o", markersize=7, markeredgecolor=method.colour,
                          markerfacecolor=fill)  # fmt: skip
        name_rows(axes, [_short(method.label) for method in methods])
        axes.plot(
            [], [], "o", color=INK, markerfacecolor="none", label=f"initial ({initial_sessions(run.phases)})"
        )
        axes.plot([], [], "o", color=INK, label=f"final ({final_sessions(run.phases)})")
        legend_above(axes, columns=2)
        axes.set_xlabel("reward per session")
        return done()


def departure_reasons(run: RunFiles) -> str | None:
    """Why sessions ended, as shares of each method's sessions; None where no method recorded it."""
    methods = [method for method in in_order(list(run.results)) if run.results[method.name].get("departures")]
    counts = {method.name: run.results[method.name]["departures"] for method in methods}
    methods = [method for method in methods if sum(counts[method.name].values()) > 0]
    if not methods:
        return None
    recorded = {reason for method in methods for reason, count in counts[method.name].items() if count > 0}
    reasons = [*(reason for reason in REASONS if reason in recorded), *sorted(recorded - set(REASONS))]
    with new_figure("departures", 9.0, 0.9 + 0.36 * len(methods)) as (axes, done):
        left = np.zeros(len(methods))
        for reason in reasons:
            label, colour = REASONS.get(reason, (reason, "#56B4E9"))
            shares = [counts[m.name].get(reason, 0) / sum(counts[m.name].values()) for m in methods]
            axes.barh(range(len(methods)), shares, left=left, color=colour, label=label, height=0.7)
            left += shares
        name_rows(axes, [_short(method.label) for method in methods])
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        legend_above(axes, columns=len(reasons))
        return done()


@contextmanager
def new_figure(name: str, width: float, height: float) -> Iterator[tuple[Axes, Any]]:
    """Axes of a new figure and a function that turns it into SVG whose ids all start with `name`."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")

        def done() -> str:
            stream = StringIO()
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(stream, format="svg", metadata=nothing)
            return _inline(stream.getvalue(), name)

        yield figure.add_subplot(), done


def _inline(svg: str, name: str) -> str:
    """Fits a stand-alone SVG into a page: no prologue, fluid size, unique ids, the page's text colour."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)


def _draw(axes: Axes, curve: Curve, method: Method) -> None:
    axes.plot(curve.steps, curve.middle, color=method.colour, linestyle=method.dash, linewidth=2)
    axes.fill_between(curve.steps, curve.low, curve.high, color=method.colour, alpha=0.2, linewidth=0)


def _last_finite(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else float("nan")


def _label_ends(axes: Axes, ends: list[tuple[float, Method]]) -> None:
    """Writes each method's name at its line's right end, moved apart just enough to be read."""
    axes.margins(y=0.06)
    bottom, top = axes.get_ylim()
    ends = sorted((end for end in ends if np.isfinite(end[0])), key=lambda end: end[0])
    places = _spread([height for height, _ in ends], gap=(top - bottom) * LABEL_GAP)
    for (height, method), place in zip(ends, places, strict=True):
        axes.annotate(
            _short(method.label), xy=(1, height), xytext=(1.05, place), xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"), va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": method.colour, "linewidth": 1.5, "shrinkA": 2,
                        "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip
    axes.set_ylim(bottom, top)


def _spread(heights: list[float], gap: float) -> list[float]:
    """Moves ascending heights at least `gap` apart: each group that would touch is centred on its mean."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _lowest(groups[-1], gap) < _lowest(groups[-2], gap) + gap * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_lowest(group, gap) + gap * place for group in groups for place in range(len(group))]


def _lowest(group: list[float], gap: float) -> float:
    return float(np.mean(group)) - gap * (len(group) - 1) / 2


def _steps_axis(axes: Axes, bins: np.ndarray, label: str) -> None:
    axes.set_xlim(bins[0], bins[-1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps:,.0f}"))
    axes.set_xlabel("online simulator steps")
    axes.set_ylabel(label)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def name_rows(axes: Axes, labels: list[str]) -> None:
    """Names beside horizontal bars, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")


def legend_above(axes: Axes, columns: int) -> None:
    """A legend over the plot, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, borderaxespad=0.2,
                columnspacing=1.2, handlelength=1.2, labelcolor=INK)  # fmt: skip
