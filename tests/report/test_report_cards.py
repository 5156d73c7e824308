"""Everything a report says of a method is on its card, and a malformed card is refused by name."""

import re

import pytest
from fake_report_run import CARDS, card, write_fake_run

from ialp_jax.artifacts import InputError, read_json, write_json
from ialp_jax.report import write_report
from ialp_jax.report.cards import read_card
from ialp_jax.report.comparisons import compare
from ialp_jax.report.inputs import read_run
from ialp_jax.report.methods import DASHES, FAMILY_SHADES, by_family, described

DARK, WHITE = 0.009, 1.0  # luminance of the page's two papers


def cards_of(**families):
    """Read cards of methods `family_0`, ... with as many members as given, in turn as they are listed."""
    rounds = range(max(families.values()))
    names = [(name, index) for index in rounds for name, size in families.items() if index < size]
    return {
        f"{name}_{index}": read_card(card(f"{name} {index}", "", name) | {"meaning": "m"}, "x", "f", "c")
        for name, index in names
    }


def test_families_come_in_the_order_they_appear_and_keep_their_members_order():
    methods = described(cards_of(second=2, first=3))
    assert list(methods) == ["second_0", "second_1", "first_0", "first_1", "first_2"]
    assert [family for family, _ in by_family(methods.values())] == ["second", "first"]
    assert methods["second_0"].colour == FAMILY_SHADES[0][0] and methods["first_1"].colour in FAMILY_SHADES[1]


def test_lines_of_a_family_differ_in_dash_or_lightness():
    lines = {(method.colour, method.dash) for method in described(cards_of(only=24)).values()}
    assert len(lines) == 24
    assert len(DASHES) % len(FAMILY_SHADES[0]) and (len(DASHES) + 1) % len(FAMILY_SHADES[0])


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [colour for shades in FAMILY_SHADES for colour in shades])
def test_every_colour_is_readable_on_white_and_on_dark_paper(colour):
    value = luminance(colour)
    assert (WHITE + 0.05) / (value + 0.05) > 2 and (value + 0.05) / (DARK + 0.05) > 2.8


def test_questions_are_the_rivals_that_are_in_the_run(fake_run):
    results = read_json(fake_run / "results.json")
    rivals = results["methods"]["a_ialp_ft"]["card"]["rivals"]
    rivals += [
        {"other": "random", "metric": "novelty", "question": "Is it novel?"},
        {"other": "random", "metric": "novelty", "question": "Asked twice"},
        {"other": "absent", "metric": "novelty", "question": "Against nobody"},
        {"other": "random", "metric": "absent", "question": "On nothing"},
    ]
    write_json(fake_run / "results.json", results)
    run = read_run(fake_run)
    rows = [row for row in compare(run.cards, run.per_seed) if row["method"] == "a_ialp_ft"]
    assert [row["question"] for row in rows] == [
        "Does fine-tuning earn more than A2C overall?",
        "Is it novel?",
    ]
    asked = [rival["question"] for name in CARDS for rival in CARDS[name]["rivals"]]
    assert set(asked) < {row["question"] for row in compare(run.cards, run.per_seed)}


def test_a_frozen_method_is_what_its_card_says(fake_run):
    results = read_json(fake_run / "results.json")
    results["methods"]["ialp"]["card"] |= {"learns_online": True, "title": "renamed", "paper": "Nobody 1900"}
    write_json(fake_run / "results.json", results)
    write_report(fake_run)
    page = (fake_run / "report.html").read_text()
    assert "iALP, frozen" not in page and "renamed" in page and "not adapted (Nobody 1900)" in page
    assert not described(read_run(fake_run).cards)["ialp"].frozen


def test_every_curve_a_card_names_is_a_figure_and_no_other(fake_run):
    results = read_json(fake_run / "results.json")
    for name in ("a2c", "a_ialp_ft"):
        results["methods"][name]["card"]["curves"] = {
            "length": "turns, again",
            "nothing": "was never recorded",
        }
    results["methods"]["a_ialp_ap_mixture"]["card"]["curves"] = {}
    write_json(fake_run / "results.json", results)
    run = read_run(fake_run)
    assert "a_ialp_ap_mixture/weight" not in run.curves
    write_report(fake_run)
    page = (fake_run / "report.html").read_text()
    assert page.count("<svg") == 5 and "<h3>Turns, again</h3>" in page
    assert "never recorded" not in page and "eight of the pre-trained" not in page


def test_fields_that_a_report_does_not_use_are_passed_over():
    read = read_card(CARDS["a2c"] | {"stochastic": True, "default": True}, "a2c", "f", "c")
    rivals = [rival | {"premise": ""} for rival in CARDS["a2c"]["rivals"]]
    assert read == CARDS["a2c"] | {"curves": {}, "landmark": "", "told": [], "rivals": rivals}


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ([], ""),
        ({"title": 3}, ".title"),
        ({"title": ""}, ".title"),
        ({"meaning": None}, ".meaning"),
        ({"family": ["a"]}, ".family"),
        ({"learns_online": "yes"}, ".learns_online"),
        ({"reference": 1}, ".reference"),
        ({"paper": 1}, ".paper"),
        ({"rivals": {}}, ".rivals"),
        ({"rivals": ["random"]}, ".rivals[0]"),
        ({"rivals": [{"other": "random", "metric": "final_reward"}]}, ".rivals[0].question"),
        ({"curves": []}, ".curves"),
        ({"curves": {"weight": 1}}, ".curves.weight"),
    ],
)
def test_a_malformed_card_is_refused_by_file_and_column(tmp_path, change, column):
    wrong = CARDS["a2c"] | change if isinstance(change, dict) else change
    write_fake_run(tmp_path, levels={"a2c": (1, 2, 0)}, cards={"a2c": wrong})
    with pytest.raises(InputError, match=re.escape(f"methods.a2c.card{column}: expected")) as refusal:
        write_report(tmp_path)
    assert "results.json" in str(refusal.value) and "Fix: " in str(refusal.value)
    assert not (tmp_path / "report.html").exists()
