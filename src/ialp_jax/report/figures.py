"""What the report's figures share: a sheet that becomes inline SVG in the page's text colour, names, a legend.

matplotlib draws without pyplot, so no global state and no display is involved.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"  # replaced by currentColor: the page decides
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 10, "text.color": INK, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": "#8A8A8A", "grid.alpha": 0.25,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "svg.fonttype": "none", "text.parse_math": False,
}  # fmt: skip


@contextmanager
def blank_figure(name: str, width: float, height: float) -> Iterator[tuple[Figure, Callable[[], str]]]:
    """An empty figure (inches) and a function that turns it into SVG whose ids all start with `name`."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The reader's browser has the letters that the font used for measuring lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")

        def done() -> str:
            stream = StringIO()
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(stream, format="svg", metadata=nothing)
            return _inline(stream.getvalue(), name)

        yield figure, done


def _inline(svg: str, name: str) -> str:
    """Fits a stand-alone SVG into a page: no prologue, fluid size, unique ids, the page's text colour."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)


def fitted(label: str, longest: int) -> str:
    """A label that is cut where it would leave no room for the axes, on one line."""
    label = " ".join(label.split())
    return label if len(label) <= longest else label[: longest - 1] + "…"


def name_rows(axes: Axes, labels: list[str]) -> None:
    """Names beside horizontal bars, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")


def legend_above(axes: Axes, columns: int) -> None:
    """A legend over the plot, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, borderaxespad=0.2,
                columnspacing=1.2, handlelength=1.2, labelcolor=INK)  # fmt: skip
