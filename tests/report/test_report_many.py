"""Runs of nine, twenty and thirty-five methods are all readable: measured in the figures, counted in the texts."""

import re
from io import StringIO
from itertools import pairwise

import pytest
from fake_report_run import many_methods, write_fake_run
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from rich.console import Console

from ialp_jax.report import print_summary, write_report
from ialp_jax.report.endings import LINE
from ialp_jax.report.headline import footnote, headline
from ialp_jax.report.methods import GREY

SIZES = ((9, 3), (20, 5), (35, 8), (35, 2))


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}in{size[1]}")
def many(request, tmp_path_factory):
    """Methods, families, summary, page and figures (reward, length, two with rows, the weights) of one run."""
    out = tmp_path_factory.mktemp("many")
    write_fake_run(out, **many_methods(*request.param))
    figures = []
    saved = Figure.savefig

    def save(figure, *arguments, **options):
        figures.append(figure)
        return saved(figure, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        summary = write_report(out)
    return *request.param, summary, (out / "report.html").read_text(encoding="utf-8"), figures


def panels_of(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def box_of(text, figure):
    """In pixels; of an annotation the name alone, without its arrow."""
    renderer = figure._get_renderer()
    is_name = isinstance(text, Annotation)
    return (
        super(Annotation, text).get_window_extent(renderer) if is_name else text.get_window_extent(renderer)
    )


def texts_of(axes):
    """Names of lines, of panels and of rows. (Numbers of a scale are made by matplotlib, beyond its ends too.)"""
    rows = axes.get_yticklabels() if axes.yaxis_inverted() else []
    return [text for text in (*axes.texts, axes._left_title, *rows) if text.get_text()]


def test_every_name_is_inside_its_figure(many):
    methods, families, _, _, figures = many
    assert len(figures) == 5
    for figure in figures:
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        texts = [text for axes in panels_of(figure) for text in texts_of(axes)]
        assert len(texts) >= methods + families or figure is figures[4]
        for text in texts:
            box = box_of(text, figure)
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text.get_text()


def test_legends_are_inside_their_figure(many):
    *_, figures = many
    for figure in figures[2:4]:
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent(figure._get_renderer())
        width, height = figure.get_size_inches() * figure.dpi
        assert box.x0 >= 0 and box.x1 <= width and box.y1 <= height
        assert box.y0 >= figure.axes[0].get_window_extent().y1 - 1


def test_names_of_lines_stand_apart_and_beside_their_panel(many):
    *_, figures = many
    for figure in (*figures[:2], figures[4]):
        figure.draw_without_rendering()
        for axes in panels_of(figure):
            boxes = sorted((box_of(name, figure) for name in axes.texts), key=lambda box: box.y0)
            panel = axes.get_window_extent()
            assert boxes and all(lower.y1 <= upper.y0 for lower, upper in pairwise(boxes))
            # As far as was asked for: the panel has room for all.
            places = sorted(name.xyann[1] * panel.height / figure.dpi for name in axes.texts)
            assert all(upper - lower > 0.99 * LINE for lower, upper in pairwise(places))
            assert boxes[0].y0 >= panel.y0 - 1 and boxes[-1].y1 <= panel.y1 + 1
            assert all(box.x0 > panel.x1 for box in boxes)


def test_names_of_lines_leave_room_for_the_next_panel(many):
    *_, figures = many
    for figure in figures[:2]:
        figure.draw_without_rendering()
        panels = panels_of(figure)
        for left, right in zip(panels[::2], panels[1::2], strict=False):
            start = right.get_tightbbox(figure._get_renderer()).x0
            names = [axes.get_window_extent().x0 for axes in (left, right)]
            assert names[0] < names[1] and all(box_of(name, figure).x1 < start + 1 for name in left.texts)


def test_names_of_rows_stand_apart(many):
    methods, families, *_, figures = many
    for figure in figures[2:4]:
        (axes,) = figure.axes
        figure.draw_without_rendering()
        boxes = [box_of(label, figure) for label in axes.get_yticklabels()]
        assert len(boxes) == methods + families
        assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))


def test_learning_curves_have_a_panel_per_family_with_common_axes_and_the_references(many):
    methods, families, _, _, figures = many
    for figure in figures[:2]:
        panels = panels_of(figure)
        assert len(panels) == families == len({axes.get_title("left") for axes in panels})
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in panels}) == 1
        names = [[text.get_text() for text in axes.texts] for axes in panels]
        for reference in ("A2C from scratch", "iALP, frozen"):
            assert all(panel.count(reference) == 1 for panel in names)
        assert len({name for panel in names for name in panel}) == methods
        grey = sum(line.get_color() == GREY for axes in panels for line in axes.lines)
        assert sum(map(len, names)) == methods + grey and grey == 2 * (families - 1)


def test_the_table_has_a_row_per_method_under_its_family(many):
    methods, families, summary, page, _ = many
    table = page[page.index("<h2>The table") : page.index("<h2>The differences")]
    table = table[: table.index("</table>")]
    rows = re.findall(r'<th scope="(rowgroup|row)"[^>]*>([^<]*)</th>', table)
    assert [kind for kind, _ in rows].count("rowgroup") == families and len(rows) == methods + families
    family = None
    titles = {method["card"]["title"]: method["card"]["family"] for method in summary["methods"].values()}
    for kind, text in rows:
        family = text if kind == "rowgroup" else family
        assert kind == "rowgroup" or titles[text] == family


def test_the_terminal_fits_100_columns_and_groups_by_family(many):
    _, families, summary, *_ = many
    stream = StringIO()
    print_summary(summary, Console(width=100, file=stream))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100 and "…" not in stream.getvalue()
    for method in summary["methods"].values():
        assert any(line.startswith(f" {method['card']['title']} ") for line in lines)
    headers = [
        line.strip() for line in lines if re.match(r"(family number|actor-critics|policies that never)", line)
    ]
    assert len(headers) == families - (families > 2)  # the longest is on two lines
    assert len(lines) < 100


def test_the_headline_stays_a_few_sentences(many):
    _, _, summary, *_ = many
    sentences = headline(summary)
    assert 2 <= len(sentences) <= 8
    assert sum(map(len, sentences)) < 1_300 and max(map(len, sentences)) < 520


def test_many_methods_are_summed_up_honestly(tmp_path):
    write_fake_run(tmp_path, **many_methods(35, 8))
    summary = write_report(tmp_path)
    text = " ".join(headline(summary))
    assert "oracle" not in text  # no card asks about it, so it neither leads nor is the bar
    assert "iALP, frozen ended highest; of the 30 that learn, " in text
    counts = [int(number) for number in re.findall(r"(\d+) ended (?:clearly|not)", text)]
    assert len(counts) == 3 and sum(counts) == 30
    rows = summary["comparisons"]
    higher = sum(row["verdict"] == "higher" for row in rows)
    assert f"Of the {len(rows)} paired differences that decide, {higher} are clearly above zero" in text
    assert "overstates" in footnote(summary) and "no worse" not in text


def test_learners_that_may_not_have_learned_are_named(tmp_path):
    run = many_methods(20, 5)
    run["levels"] |= {"method_3": (1.4, 4.0, 0), "method_5": (1.4, 5.6, 0)}
    write_fake_run(tmp_path, **run)
    last = headline(write_report(tmp_path))[-1]
    assert (
        "Not clearly above a rival that never learns (popular)" in last and "too small to judge them" in last
    )
    assert "Invented learner 03" in last and "Invented learner 05" in last and "learner 01" not in last
