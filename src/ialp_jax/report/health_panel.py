"""The figure of health: a row per learning stage, a column per metric that is watched, a line over the stage in each."""

import numpy as np
from matplotlib.axes import Axes

from ialp_jax.report.figures import INK, blank_figure, fitted, name_rows
from ialp_jax.report.health import StageHealth, Watched, metrics_watched
from ialp_jax.report.methods import GREY

WIDTH, ROW, AROUND = 10.0, 0.34, 0.75  # inches
NAMES, COLUMN = 2.6, 1.35  # inches that names and each column need at least
FILLED = 0.72  # of a row's height, that a line may use
ROOM = 0.75  # beside a line, for its numbers; a line is 1 long
LONGEST, LONGEST_TITLE = 34, 14
BEYOND = 1.6  # times its bound, where a line that left its range is cut
SOUND_COLOUR, LEFT_COLOUR = "#0072B2", "#D55E00"


def health_figure(stages: tuple[StageHealth, ...]) -> str | None:
    """Lines of all stages; None where nothing was watched."""
    titles = metrics_watched(stages)
    if not titles:
        return None
    width = max(WIDTH, NAMES + COLUMN * len(titles))
    with blank_figure("health", width, AROUND + ROW * len(stages)) as (figure, done):
        panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        name_rows(panels[0], [fitted(stage.label, LONGEST) for stage in stages])
        for axes, (metric, title) in zip(panels, titles.items(), strict=True):
            column = [stage.watched.get(metric) for stage in stages]
            top = max(_top(watched) for watched in column if watched is not None)
            for place, watched in enumerate(column):
                if watched is not None:
                    _line(axes, place, watched, top or 1.0)
            _dress(axes, _wrapped(title), len(stages))
        return done()


def _top(watched: Watched) -> float:
    """What stands at the top of a row: the largest number, but not much more than the bound it may not pass."""
    largest = np.nanmax(watched.bins, initial=0.0)
    return float(largest if watched.high is None else min(largest, BEYOND * watched.high))


def _line(axes: Axes, place: int, watched: Watched, top: float) -> None:
    """The middle seed's numbers with the span of all, from 0 at a row's foot, and the smallest and largest in figures."""
    sound = np.isfinite(watched.bins).any(axis=0)
    numbers = watched.bins[:, sound]
    if not numbers.size:
        return
    along = (np.flatnonzero(sound) + 0.5) / sound.size
    heights = place + FILLED / 2 - np.clip(numbers / top, 0.0, 1.0) * FILLED
    colour = LEFT_COLOUR if watched.left else SOUND_COLOUR
    axes.plot(along, np.nanmedian(heights, axis=0), color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.fill_between(
        along, np.nanmin(heights, axis=0), np.nanmax(heights, axis=0), color=colour, alpha=0.2, linewidth=0
    )
    for bound in (watched.low, watched.high):
        if bound is not None and 0 < bound <= top:
            axes.plot(
                [0, 1],
                [place + FILLED / 2 - bound / top * FILLED] * 2,
                color=GREY,
                linewidth=0.6,
                linestyle=(0, (4, 3)),
            )
    extent = f"{np.nanmin(numbers):.2g} to {np.nanmax(numbers):.2g}"
    axes.text(1.06, place, extent, fontsize=7.5, va="center", color=colour if watched.left else INK,
              fontweight="bold" if watched.left else "normal")  # fmt: skip


def _dress(axes: Axes, title: str, rows: int) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlim(0, 1 + ROOM)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _wrapped(title: str) -> str:
    """A title in two lines where it is long."""
    if len(title) <= LONGEST_TITLE or " " not in title:
        return title
    words = title.split()
    half = min(range(1, len(words)), key=lambda first: abs(len(" ".join(words[:first])) - len(title) / 2))
    return f"{' '.join(words[:half])}\n{' '.join(words[half:])}"
