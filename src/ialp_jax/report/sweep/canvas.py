"""What the sweep's figures share: a sheet to draw on and colours that serve a white page and a dark one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ialp_jax.report.figures import INK, blank_figure

PAPER = "#fdfcfb"  # replaced by the page's own background
RUN, MIDDLE, BEST, STOPPED = "#8A8A8A", "#0072B2", "#D55E00", "#8A8A8A"
# Plasma without its darkest and lightest parts, which one of the two pages would swallow; few enough steps
# that the colour bar stays a drawing.
COLOURS = ListedColormap(matplotlib.colormaps["plasma"]([0.12 + 0.70 * step / 39 for step in range(40)]))


@contextmanager
def sheet(name: str, width: float, height: float) -> Iterator[tuple[Figure, Callable[[], str]]]:
    """An empty figure, and a function that turns it into SVG whose ids all start with `name`."""
    with blank_figure(name, width, height) as (figure, done):
        yield figure, lambda: done().replace(PAPER, "var(--paper)")


def plain_axes(axes: Axes) -> None:
    """Small ticks; grid lines for the values only."""
    axes.tick_params(labelsize=8.5, length=3)
    axes.grid(False, axis="x")


def wide(svg: str, inches: float) -> str:
    """Keeps a figure that is wider than the page readable: it scrolls instead of shrinking."""
    return svg.replace("<svg ", f'<svg style="min-width: {inches * 100:.0f}px" ', 1) if inches > 10 else svg


__all__ = ["BEST", "COLOURS", "INK", "MIDDLE", "PAPER", "RUN", "STOPPED", "plain_axes", "sheet", "wide"]
