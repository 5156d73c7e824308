"""Names at the right ends of lines: moved apart just enough to be read, never out of their panel."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from ialp_jax.report.figures import fitted

SIZE = 8.5  # points
LINE = 1.3 * SIZE / 72  # inches from one name to the next
LONGEST = 26  # characters
ASIDE = 1.06  # of the axes' width


@dataclass(frozen=True)
class Ending:
    """Where a line ends (in data units), what stands there, and how strongly (opacity of the name)."""

    height: float
    label: str
    colour: str
    opacity: float = 1.0


def label_endings(figure: Figure, endings: list[tuple[Axes, list[Ending]]]) -> None:
    """Writes the names beside each of the axes. Nothing may change the layout or the vertical axes afterwards.

    The names take room beside the axes, so they are part of the layout; only when it is made is the axes' height in
    inches known, by which they are moved apart.
    """
    placed = []
    for axes, own in endings:
        visible = sorted(
            (ending for ending in own if np.isfinite(ending.height)), key=lambda ending: ending.height
        )
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom, top)
        placed.append((axes, visible, [_name(axes, ending) for ending in visible]))
    figure.draw_without_rendering()
    for axes, visible, names in placed:
        bottom, top = axes.get_ylim()
        wanted = [(ending.height - bottom) / (top - bottom) for ending in visible]
        inches = axes.get_window_extent().height / figure.dpi
        for name, place in zip(names, spread(wanted, LINE / inches), strict=True):
            name.xyann = (ASIDE, place)


def _name(axes: Axes, ending: Ending) -> Annotation:
    return axes.annotate(
        fitted(ending.label, LONGEST), xy=(1, ending.height), xytext=(ASIDE, 0.5), xycoords=("axes fraction", "data"),
        textcoords="axes fraction", va="center", fontsize=SIZE, alpha=ending.opacity,
        arrowprops={"arrowstyle": "-", "color": ending.colour, "linewidth": 1.5, "shrinkA": 2, "shrinkB": 0,
                    "relpos": (0, 0.5)},
    )  # fmt: skip


def spread(places: list[float], gap: float) -> list[float]:
    """Moves ascending places in [0, 1] at least `gap` apart: each group that would touch is centred on its mean.

    No place comes nearer than half a gap to 0 or 1; where there is not room for all, they stand evenly.
    """
    gap = min(gap, 1 / max(1, len(places)))
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _lowest(groups[-1], gap) < _lowest(groups[-2], gap) + gap * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_lowest(group, gap) + gap * index for group in groups for index in range(len(group))]


def _lowest(group: list[float], gap: float) -> float:
    """Of a group's places: centred on what its members wanted, within the panel."""
    first = float(np.mean(group)) - gap * (len(group) - 1) / 2
    return min(max(first, gap / 2), 1 - gap * (len(group) - 0.5))
