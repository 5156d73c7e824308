"""The objective against every axis of the search: one panel per axis, one dot per run."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ialp_jax.report.sweep.canvas import BEST, INK, MIDDLE, RUN, plain_axes, sheet
from ialp_jax.report.sweep.scales import Scale, fanned, thinned
from ialp_jax.report.sweep.settings import Setting

COLUMNS = 3
LETTER = 0.034  # width of a letter below an axis in the narrowest panel, of the axis
MANY = 60  # above so many settings their marks are made smaller and fainter


def slices(settings: list[Setting], scales: list[Scale], best: Setting | None, label: str) -> str | None:
    """The figure; None where no run has a value or nothing was swept."""
    if not scales or not any(np.isfinite(setting.per_seed).any() for setting in settings):
        return None
    columns = min(COLUMNS, len(scales))
    rows = -(-len(scales) // columns)
    with sheet("slices", 9.6, 0.5 + (3.4 if columns == 1 else 2.7) * rows) as (figure, done):
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        for index, (axes, scale) in enumerate(zip(panels, scales, strict=False)):
            _panel(axes, settings, scale, best, LETTER * columns / COLUMNS)
            if index % columns == 0:
                axes.set_ylabel(label, fontsize=9)
        for axes in panels[len(scales) :]:
            axes.set_visible(False)
        figure.legend(handles=_legend(settings, best), loc="outside upper left", ncols=4, frameon=False,
                      fontsize=9, labelcolor=INK, handletextpad=0.5, columnspacing=1.4)  # fmt: skip
        return done()


def _panel(axes: Axes, settings: list[Setting], scale: Scale, best: Setting | None, letter: float) -> None:
    # Settings of one value stand side by side, so that their intervals can be told apart.
    order = np.array([setting.id for setting in settings], dtype=float)
    spread = fanned(scale.places, order, 0.16 if scale.kind == "category" else 0.06)
    many = len(settings) > MANY
    _runs(axes, settings, spread, size=2.4 if many else 4.0)
    for setting, place in zip(settings, spread, strict=True):
        if setting.state == "complete" and setting is not best:
            _middle(axes, setting, place, MIDDLE, (2.6 if many else 4.5), 0.45 if many else 0.85)
    for setting, place in zip(settings, spread, strict=True):
        if setting is best:
            _middle(axes, setting, place, BEST, 9.0, 1.0, marker="*")
    _finish(axes, scale, letter)


def _runs(axes: Axes, settings: list[Setting], places: np.ndarray, size: float) -> None:
    """A dot per run: filled where trained to the end, hollow where stopped."""
    for stopped in (False, True):
        kept = [
            (np.full(setting.per_seed.size, place), setting.per_seed)
            for setting, place in zip(settings, places, strict=True)
            if (setting.state == "stopped") == stopped
        ]
        if kept:
            across, value = (np.concatenate(part) for part in zip(*kept, strict=True))
            axes.plot(across, value, "o", markersize=size, color=RUN, alpha=0.45, markeredgewidth=0.7,
                      markerfacecolor="none" if stopped else RUN,
                      markeredgecolor=RUN if stopped else "none")  # fmt: skip


def _middle(
    axes: Axes, setting: Setting, place: float, colour: str, size: float, alpha: float, marker: str = "o"
) -> None:
    found = setting.found
    assert found is not None
    if np.isfinite(found.low):
        axes.plot([place, place], [found.low, found.high], color=colour, alpha=alpha,
                  linewidth=2.0 if marker == "*" else 1.1, solid_capstyle="butt")  # fmt: skip
    axes.plot([place], [found.mean], marker, color=colour, alpha=alpha, markersize=size, markeredgewidth=0)


def _finish(axes: Axes, scale: Scale, letter: float) -> None:
    margin = 0.24 if scale.kind == "category" else 0.08
    axes.set_xlim(scale.lowest - margin, 1 + margin)
    # Long names of categories are turned, not left out.
    ticks = thinned(scale.ticks, 0.04, 0.0 if scale.kind == "category" else letter)
    axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    plain_axes(axes)
    if scale.kind == "category" and sum(len(text) + 1 for _, text in ticks) * letter > 1.2:
        axes.tick_params(axis="x", rotation=25)
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right")
            text.set_rotation_mode("anchor")
    axes.set_xlabel(scale.name + (" (log)" if scale.kind == "log" else ""), fontsize=9)


def _legend(settings: list[Setting], best: Setting | None) -> list[Line2D]:
    states = {setting.state for setting in settings}
    seeds = settings[0].per_seed.size
    interval = "mean with 95 % interval" if seeds > 1 else "value (one seed)"

    marks = []
    if best is not None:
        marks.append(_mark(BEST, 9, "best setting", marker="*", joined=seeds > 1))
    if "complete" in states:
        marks.append(_mark(MIDDLE, 4.5, f"setting: {interval}", joined=seeds > 1))
        marks += [_mark(RUN, 4, "one run")] if seeds > 1 else []
    if "stopped" in states:
        marks.append(_mark(RUN, 4, "run stopped early", hollow=True))
    return marks


def _mark(
    colour: str, size: float, label: str, marker: str = "o", joined: bool = False, hollow: bool = False
) -> Line2D:
    return Line2D(
        [], [], color=colour, marker=marker, linestyle="-" if joined else "none", markersize=size, label=label,
        markerfacecolor="none" if hollow else colour, markeredgecolor=colour if hollow else "none",
    )  # fmt: skip
