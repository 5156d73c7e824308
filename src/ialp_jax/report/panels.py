"""What changes over the online run, as one panel per family: learning curves and what methods recorded besides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ialp_jax.report.curves import Curve, plain_curve, session_curve
from ialp_jax.report.endings import LINE, Ending, label_endings
from ialp_jax.report.figures import blank_figure, fitted
from ialp_jax.report.inputs import RunFiles
from ialp_jax.report.methods import GREY, Method, by_family, described

WIDTH, COLUMNS = 10.0, 2
LOWEST = {1: 4.4, 2: 3.0}  # inches, of one row of panels and of two; of more:
LOW, AROUND = 2.3, 0.75  # and what a panel's title and ticks take of it
LONGEST_TITLE = 40
MOST_BANDS = 8  # curves in a panel; the bands of more hide each other and the curves
FAINT = 0.7  # opacity of the names of references


@dataclass(frozen=True)
class Line:
    """A method's curve, or its level where it has no `curve`."""

    method: Method
    curve: Curve | None
    end: float


def learning_curves(run: RunFiles, summary: dict[str, Any], total: str, level: str, label: str) -> str | None:
    """Curves of the learners and levels of the frozen policies, named at the right edge.

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
    lines = []
    for method in described(run.cards).values():
        height = summary["methods"][method.name].get(level, {}).get("mean")
        sums, sessions = (run.curves.get(f"{method.name}/{kind}") for kind in (total, "sessions"))
        if method.frozen and height is not None:
            lines.append(Line(method, None, height))
        elif not method.frozen and sums is not None and sessions is not None:
            curve = session_curve(run.bins, sessions, sums)
            lines.append(Line(method, curve, _last_finite(curve.middle)))
    return _panels(f"curves-{total}", lines, run.bins, label)


def further_curves(run: RunFiles) -> list[tuple[str, str | None]]:
    """What cards name besides reward and length: (axis title, SVG or None where nothing was recorded) per name.

    Where cards title one name differently, the first title counts.
    """
    titles: dict[str, str] = {}
    for card in run.cards.values():
        titles = card["curves"] | titles
    return [
        (title, _further_curve(run, name, f"further-{index}", title))
        for index, (name, title) in enumerate(titles.items())
    ]


def _further_curve(run: RunFiles, name: str, figure: str, title: str) -> str | None:
    if run.bins is None:
        return None
    lines = []
    for method in described(run.cards).values():
        values = run.curves.get(f"{method.name}/{name}")
        if values is not None:
            curve = plain_curve(run.bins, values)
            lines.append(Line(method, curve, _last_finite(curve.middle)))
    return _panels(figure, lines, run.bins, title)


def _panels(name: str, lines: list[Line], bins: np.ndarray, label: str) -> str | None:
    """One panel per family with common axes; references are repeated in grey. None where there is no line."""
    if not lines:
        return None
    families = by_family(line.method for line in lines)
    repeated = [line for line in lines if line.method.reference]
    shown = [
        [line for line in lines if line.method.family == family or line in repeated] for family, _ in families
    ]
    columns = min(COLUMNS, len(shown))
    crowd = [max(map(len, shown[first : first + columns])) for first in range(0, len(shown), columns)]
    heights = [max(LOWEST.get(len(crowd), LOW), AROUND + LINE * most) for most in crowd]
    with blank_figure(name, WIDTH, sum(heights) + 0.4) as (figure, done):
        panels = _axes(figure, heights, columns, len(shown))
        endings = []
        for axes, (family, _), own in zip(panels, families, shown, strict=True):
            if columns > 1:
                axes.set_title(fitted(family, LONGEST_TITLE), loc="left", fontsize=10, fontweight="bold")
            bands = sum(line.curve is not None for line in own) <= MOST_BANDS
            endings.append((axes, [_draw(axes, line, line.method.family != family, bands) for line in own]))
        panels[0].margins(y=0.06)
        panels[0].set_xlim(bins[0], bins[-1])
        figure.supxlabel("online simulator steps", fontsize=10)
        figure.supylabel(label, fontsize=10)
        label_endings(figure, endings)
        return done()


def _axes(figure: Figure, heights: list[float], columns: int, number: int) -> list[Axes]:
    """Axes in rows, `number` in all, that share their scales; the lowest of each column has the steps' numbers."""
    grid = figure.subplots(
        len(heights), columns, sharex=True, sharey=True, squeeze=False, height_ratios=heights
    )
    cells = list(grid.flatten())
    for axes in cells[number:]:
        axes.set_visible(False)
    for axes in cells[max(0, number - columns) : number]:
        axes.tick_params(labelbottom=True)
    cells[0].xaxis.set_major_locator(MaxNLocator(4 if columns > 1 else 8))
    cells[0].xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps:,.0f}"))
    return cells[:number]


def _draw(axes: Axes, line: Line, visiting: bool, band: bool) -> Ending:
    """Draws a line, in grey, thinner and without its band where it visits another family's panel."""
    method, curve = line.method, line.curve
    colour = GREY if visiting else method.colour
    if curve is None:
        axes.axhline(line.end, color=colour, linestyle=method.dash, linewidth=1.4)
    else:
        axes.plot(
            curve.steps, curve.middle, color=colour, linestyle=method.dash, linewidth=1.4 if visiting else 2
        )
        if band and not visiting:
            axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    return Ending(line.end, method.label, colour, FAINT if visiting else 1.0)  # fmt: skip


def _last_finite(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else float("nan")
