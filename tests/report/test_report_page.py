"""The page and the terminal: self-contained, escaped, honest about who judged and what is missing."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pytest
from fake_report_run import CARDS, LEVELS, card, fake_llm_preferences, fake_preferences, write_fake_run
from rich.console import Console

from ialp_jax.artifacts import InputError, read_arrays, read_json, write_arrays, write_json
from ialp_jax.report import print_summary, write_report
from ialp_jax.report.curves import merge_width, session_curve
from ialp_jax.report.endings import spread

MALICIOUS = '<script>alert("x")</script><img src=http://evil.example/a.png>'


class Page(HTMLParser):
    """Collects tags, ids, and addresses."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [
            found[name] for name in ("src", "href", "xlink:href", "data", "srcset") if name in found
        ]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    out = tmp_path_factory.mktemp("complete")
    write_fake_run(out)
    return write_report(out), out


def page_of(out):
    return (out / "report.html").read_text(encoding="utf-8")


def test_what_to_know_of_logs_and_world_first_is_on_page_and_terminal(complete):
    summary, out = complete
    assert summary["notes"][0] == "7 of 9 user-item pairs have 0 <hours>."
    assert "<p>7 of 9 user-item pairs have 0 &lt;hours&gt;.</p>" in page_of(out)
    console = Console(file=StringIO(), width=100)
    print_summary(summary, console)
    assert summary["notes"][0] in console.file.getvalue()


def test_the_page_fetches_nothing_and_its_ids_are_unique(complete):
    text = page_of(complete[1])
    page = Page(text)
    assert page.tags.count("svg") == 5
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert page.addresses and all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text


def test_the_page_says_what_the_world_is_and_that_no_llm_judged(complete):
    text = page_of(complete[1])
    assert "No LLM judged anything here" in text
    assert "no real user is behind these numbers" in text
    assert "TEST DOUBLE" not in text
    assert "learning_rate" in text and "0.883" in text and "item mean share" in text


def test_the_same_files_give_the_same_bytes(complete):
    summary, out = complete
    before = page_of(out), (out / "summary.json").read_bytes()
    assert write_report(out) == summary == read_json(out / "summary.json")
    assert (page_of(out), (out / "summary.json").read_bytes()) == before


def test_a_test_double_gets_a_red_box_even_if_it_claims_to_be_an_llm(tmp_path):
    write_fake_run(tmp_path, levels={"random": LEVELS["random"]})
    write_json(tmp_path / "preferences.json", fake_preferences() | {"is_llm": True, "test_double": True})
    summary = write_report(tmp_path)
    assert 'class="box alarm"' in page_of(tmp_path) and "TEST DOUBLE" in page_of(tmp_path)
    assert summary["preferences"]["test_double"] is True
    assert "TEST DOUBLE" in printed(summary)


def test_an_llms_table_is_shown_with_its_quality_and_costs(tmp_path):
    write_fake_run(tmp_path)
    write_json(tmp_path / "preferences.json", fake_llm_preferences())
    summary = write_report(tmp_path)
    text = page_of(tmp_path)
    assert "The language model imagined-9b judged the preferences (vllm)." in text
    assert 'class="box alarm"' not in text and "No LLM" not in text and "TEST DOUBLE" not in text
    for expected in ("0.743 [0.731, 0.755]", "0.822 [0.810, 0.834]", "0.914, 0.850", "0.317", "/tables/steam",
                     "Only 300 of 1,200 offline users", "240,000", "12,000,000"):  # fmt: skip
        assert expected in text, expected
    kept = summary["preferences"]
    assert (kept["calls"], kept["rejected"], kept["revision"]) == (60_000, 12, "r1")
    assert (
        kept["quality"]["judge_auc"]["mean"] == 0.743 and kept["quality"]["popularity_auc"]["mean"] == 0.799
    )
    assert kept["quality"]["label_mass"] == 0.914 and kept["quality"]["calibration_error"] == 0.317
    assert summary["methods"]["ialp"]["llm_calls"] == 240_000 and summary["methods"]["a2c"]["llm_calls"] == 0
    assert "imagined-9b" in printed(summary)


def test_a_gate_that_was_not_passed_is_on_the_page(tmp_path):
    write_fake_run(tmp_path, levels={"random": LEVELS["random"]})
    gate = {"passed": False, "failures": ["The AUC is 0.5."]}
    write_json(tmp_path / "preferences.json", fake_llm_preferences() | {"gate": gate})
    write_report(tmp_path)
    assert "not passed, by choice: The AUC is 0.5." in page_of(tmp_path)


def test_a_model_that_is_no_general_llm_is_a_warning_in_its_own_words(tmp_path):
    write_fake_run(tmp_path, levels={"random": LEVELS["random"]})
    own = "It was trained on other users' logs."
    write_json(tmp_path / "preferences.json",
               fake_llm_preferences() | {"is_llm": False, "statement": own, "statements": [own]})  # fmt: skip
    summary = write_report(tmp_path)
    assert 'class="box warning"' in page_of(tmp_path)
    assert page_of(tmp_path).count("It was trained on other users") == 1
    assert "No general LLM judged" in printed(summary) and "trained on other users" in printed(summary)


def test_names_from_data_are_escaped_everywhere(tmp_path):
    rivals = [("a2c", "final_reward", MALICIOUS)]
    cards = {
        "a2c": CARDS["a2c"],
        "$\\frac{$": card(
            MALICIOUS,
            MALICIOUS,
            f"日本語 $x^2$ {MALICIOUS}",
            True,
            rivals,
            curves={"weight": MALICIOUS},
            paper=MALICIOUS,
        ),
    }
    write_fake_run(
        tmp_path,
        levels={"a2c": (1, 2, 0), MALICIOUS: (1, 2, 0), "$\\frac{$": (1, 2, 0)},
        cards=cards,
        env=MALICIOUS,
        statements=[MALICIOUS],
    )
    arrays = read_arrays(tmp_path / "curves.npz")
    write_arrays(tmp_path / "curves.npz", arrays | {"$\\frac{$/weight": arrays["a2c/reward"]})
    write_json(tmp_path / "config.json", {MALICIOUS: MALICIOUS})
    write_json(tmp_path / "preferences.json", fake_preferences() | {"judge": MALICIOUS})
    page = Page(write_report(tmp_path) and page_of(tmp_path))
    assert not {"script", "img"} & set(page.tags)
    assert all(address.startswith("#") for address in page.addresses)
    assert "&lt;script&gt;" in page_of(tmp_path) and page.tags.count("svg") == 5


def test_a_partial_run_is_reported_and_said_to_be_partial(tmp_path):
    write_fake_run(tmp_path, seeds=2, levels={name: LEVELS[name] for name in ("random", "a2c")})
    for name in ("curves.npz", "preferences.json", "config.json"):
        (tmp_path / name).unlink()
    world = read_json(tmp_path / "world.json")
    write_json(tmp_path / "world.json", {"env": world["env"], "source": "logs"})
    summary = write_report(tmp_path)
    text = page_of(tmp_path)
    for expected in (
        "No method here rests on a preference table",
        "no curves.npz",
        "no config.json",
        "simulated users fitted to real logs",
    ):
        assert expected in text, expected
    assert [row["method"] for row in summary["comparisons"]] == ["a2c"]
    assert "A2C from scratch ended clearly above random" in printed(summary)


def test_a_table_that_a_method_rests_on_and_nobody_described_is_missed(tmp_path):
    write_fake_run(tmp_path, seeds=2, levels={name: LEVELS[name] for name in ("random", "ialp")})
    (tmp_path / "preferences.json").unlink()
    write_report(tmp_path)
    for expected in ("no preferences.json", "judged the preferences is not recorded"):
        assert expected in page_of(tmp_path), expected


def test_a_run_in_which_nothing_can_be_compared_says_so(tmp_path):
    write_fake_run(tmp_path, seeds=2, levels={name: LEVELS[name] for name in ("random", "ialp")})
    assert "no answer yet" in printed(write_report(tmp_path))


def test_a_run_of_chosen_methods_is_partial_only_if_one_of_those_is_missing(tmp_path):
    write_fake_run(tmp_path, seeds=2, levels={name: LEVELS[name] for name in ("random", "a2c")})
    config = read_json(tmp_path / "config.json")
    for chosen, partial in ((["random", "a2c"], False), (["random", "a2c", "ialp"], True)):
        study = config.get("study", {}) | {"methods": chosen}
        write_json(tmp_path / "config.json", config | {"study": study})
        write_report(tmp_path)
        assert ("This run is partial: no results for ialp." in page_of(tmp_path)) is partial
        assert ("partial" in page_of(tmp_path)) is partial


def test_one_seed_gives_no_interval_and_nothing_clear(tmp_path):
    write_fake_run(tmp_path, seeds=1)
    summary = write_report(tmp_path)
    found = summary["methods"]["a2c"]["final_reward"]
    assert found["low"] is None and found["high"] is None and found["mean"] == found["per_seed"][0]
    assert {row["verdict"] for row in summary["comparisons"]} == {"not clear"}
    assert "no difference can be called clear" in page_of(tmp_path)
    printed(summary)


@pytest.mark.parametrize("file", ["results.json", "world.json"])
def test_a_missing_file_is_named_and_nothing_is_written(fake_run, file):
    (fake_run / file).unlink()
    with pytest.raises(InputError, match=file):
        write_report(fake_run)
    assert not (fake_run / "summary.json").exists() and not (fake_run / "report.html").exists()


def test_wrong_shapes_name_file_and_field(fake_run):
    results = read_json(fake_run / "results.json")
    results["methods"]["a2c"]["per_seed"]["mean_reward"] = [1.0, 2.0]
    write_json(fake_run / "results.json", results)
    with pytest.raises(
        InputError, match=r"results\.json, column methods\.a2c\.per_seed\.mean_reward: expected 5 numbers"
    ):
        write_report(fake_run)


def test_a_curve_of_the_wrong_shape_is_refused(fake_run):
    arrays = read_arrays(fake_run / "curves.npz")
    arrays["a2c/reward"] = arrays["a2c/reward"][:, :-1]
    write_arrays(fake_run / "curves.npz", arrays)
    with pytest.raises(InputError, match=r"curves\.npz, column a2c/reward: expected shape \(5, 100\)"):
        write_report(fake_run)


def printed(summary):
    stream = StringIO()
    print_summary(summary, Console(width=100, file=stream))
    return stream.getvalue()


def test_the_terminal_summary_fits_100_columns_uncut(complete):
    text = printed(complete[0])
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "No LLM judged anything here" in text
    for name in LEVELS:
        assert CARDS[name]["title"] in text


def test_merging_bins_keeps_sums_and_skips_empty_points():
    bins = np.linspace(0, 800, 81)
    sessions, reward = np.full((3, 80), 4.0), np.full((3, 80), 10.0)
    sessions[0, 2:4] = reward[0, 2:4] = 0
    assert merge_width(bins) == 2
    curve = session_curve(bins, sessions, reward)
    assert curve.steps[:2].tolist() == [10, 30]
    assert np.isnan(curve.middle[1])
    np.testing.assert_allclose(np.delete(curve.middle, 1), 2.5)


def test_bins_left_over_at_the_end_join_the_last_point():
    bins, ones = np.linspace(0, 100, 101), np.ones((3, 100))
    late = np.where(np.arange(100) < 99, ones, 5.0)
    curve = session_curve(bins, ones, late)
    assert curve.steps[-2:].tolist() == [94.5, 98.0]
    np.testing.assert_allclose(curve.middle[-2:], [1.0, 2.0])


def test_labels_move_apart_only_where_they_touch():
    assert spread([0.1, 0.6], gap=0.1) == [0.1, 0.6]
    assert spread([0.2, 0.2, 0.9], gap=0.1) == pytest.approx([0.15, 0.25, 0.9])


def test_labels_stay_within_their_panel():
    assert spread([0.0, 0.01, 1.0], gap=0.2) == pytest.approx([0.1, 0.3, 0.9])
    assert spread([0.9, 1.0, 1.0], gap=0.2) == pytest.approx([0.5, 0.7, 0.9])
    assert spread([0.5] * 4, gap=0.9) == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_reading_files_never_imports_jax():
    code = "import sys, ialp_jax.report; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_table_has_a_column_for_every_cost_that_a_method_has(tmp_path):
    write_fake_run(tmp_path, seeds=2)
    assert "logged steps" not in page_of_run(tmp_path)
    stored = read_json(tmp_path / "results.json")
    stored["methods"]["a2c"]["logged_steps"] = 12_345
    write_json(tmp_path / "results.json", stored)
    page = page_of_run(tmp_path)
    assert "<th>logged steps</th>" in page and "12,345" in page


def page_of_run(out):
    write_report(out)
    return page_of(out)
