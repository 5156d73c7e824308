"""Parallel coordinates: one line per setting through all axes, coloured by what it reached."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from ialp_jax.report.sweep.canvas import COLOURS, INK, PAPER, STOPPED, sheet, wide
from ialp_jax.report.sweep.scales import Scale, fanned, shorten, thinned
from ialp_jax.report.sweep.settings import Setting, mean_of

FAN = 0.03  # of an axis's height
ROOM = 0.06  # above and below the axes


def parallel_coordinates(
    settings: list[Setting], scales: list[Scale], best: Setting | None, label: str
) -> str | None:
    """The figure; None with fewer than two axes or without a complete setting."""
    if len(scales) < 2 or best is None:
        return None
    values = np.array([mean_of(setting) if setting.state == "complete" else np.nan for setting in settings])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    rank = np.nan_to_num(values, nan=low - (high - low))
    heights = np.column_stack(
        [
            *(fanned(scale.places, rank, FAN) for scale in scales),
            (values - low) / (high - low),  # the colour bar is the last axis
        ]
    )
    bottom = min(scale.lowest for scale in scales) - ROOM
    inches = max(9.6, 1.25 * (len(scales) + 1))
    with sheet("parallel", inches, 4.4) as (figure, done):
        axes = figure.add_subplot()
        span = high - low
        shades = Normalize(low + bottom * span, high + ROOM * span)
        _lines(axes, settings, heights, values, shades, best)
        _axes(axes, scales)
        axes.set_xlim(-0.05, len(scales))
        axes.set_ylim(bottom, 1 + ROOM)
        bar = figure.colorbar(ScalarMappable(shades, COLOURS), ax=axes, pad=0.0, fraction=0.05, aspect=28)
        bar.set_label(label, fontsize=9)
        bar.ax.tick_params(labelsize=8.5)
        bar.outline.set_visible(False)  # type: ignore[operator]
        assert bar.solids is not None
        bar.solids.set_edgecolor("face")  # else the paper shows between the steps
        return wide(done(), inches)


def _lines(
    axes: Axes,
    settings: list[Setting],
    heights: np.ndarray,
    values: np.ndarray,
    shades: Normalize,
    best: Setting,
) -> None:
    """Worse settings below better ones, those without a comparable value below all, the best above all."""
    alpha = float(np.clip(30 / len(settings), 0.35, 0.9))
    for index in np.argsort(np.nan_to_num(values, nan=-np.inf), kind="stable"):
        finite = np.isfinite(heights[index])
        across, line = np.flatnonzero(finite), heights[index][finite]
        if settings[index] is best:
            axes.plot(across, line, color=PAPER, linewidth=6.5, zorder=4)
            axes.plot(across, line, color=INK, linewidth=4.5, zorder=5)
            axes.plot(across, line, color=COLOURS(shades(values[index])), linewidth=2.4, zorder=6)
        elif np.isfinite(values[index]):
            axes.plot(
                across, line, color=COLOURS(shades(values[index])), linewidth=1.2, alpha=alpha, zorder=3
            )
        else:
            axes.plot(across, line, color=STOPPED, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.5, zorder=2)


def _axes(axes: Axes, scales: list[Scale]) -> None:
    for place, scale in enumerate(scales):
        axes.plot([place, place], [scale.lowest, 1], color=INK, linewidth=1, zorder=7)
        for height, text in thinned(scale.ticks, 0.055):
            axes.plot([place - 0.02, place], [height, height], color=INK, linewidth=1, zorder=7)
            axes.text(place - 0.03, height, text, ha="right", va="center", fontsize=8.5, zorder=8,
                      bbox={"facecolor": PAPER, "alpha": 0.75, "edgecolor": "none", "pad": 0.8})  # fmt: skip
    names = [
        _folded(shorten(scale.name, 26)) + ("\n(log)" if scale.kind == "log" else "") for scale in scales
    ]
    axes.set_xticks(range(len(scales)), names, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _folded(name: str) -> str:
    """Breaks a long name after the underscore or dot nearest to its middle."""
    breaks = [index + 1 for index, letter in enumerate(name) if letter in "_."]
    if len(name) < 15 or not breaks:
        return name
    middle = min(breaks, key=lambda index: abs(index - len(name) / 2))
    return f"{name[:middle]}\n{name[middle:]}"
