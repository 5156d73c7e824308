"""The sweep's summary and page: known best, known intervals, nothing fetched, and the odd sweeps."""

import re
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from fake_sweep import GAMMA, LOG, landscape, rows_of, sweep_json, write_sweep
from test_report_page import MALICIOUS, Page, page_of

from ialp_jax.artifacts import InputError, read_json, write_json
from ialp_jax.evaluation.statistics import estimate, paired_difference
from ialp_jax.report.sweep import write_sweep_report
from ialp_jax.report.sweep.inputs import read_sweep
from ialp_jax.report.sweep.scales import fanned, scale, short_number, thinned

RATE, GAMMA_NAME = LOG["name"], GAMMA["name"]
# setting: (learning rate, gamma, value of each seed)
KNOWN = {
    0: (1e-4, 0.8, [4.0, 4.1, 4.2, 4.3]),
    1: (1e-3, 0.9, [8.0, 8.4, 8.2, 8.6]),  # the best
    2: (1e-3, 0.99, [8.1, 8.0, 8.5, 8.1]),  # sometimes better
    3: (1e-2, 0.9, [7.5, 7.9, 7.7, 8.1]),  # half a point less for every seed
}


def known_rows(**columns):
    return [
        row
        for setting, (rate, gamma, values) in KNOWN.items()
        for row in rows_of(setting, values, {RATE: rate, GAMMA_NAME: gamma}, **columns)
    ]


@pytest.fixture
def known(tmp_path):
    return write_sweep(tmp_path, known_rows(), sweep_json([LOG, GAMMA]))


def one_axis(tmp_path, values, axis=None, sweep=None, **columns):
    """Reports a sweep of one axis; `values` maps what the axis was to the value of every seed."""
    axis = axis or LOG
    rows = [
        row
        for setting, (value, seeds) in enumerate(values)
        for row in rows_of(setting, seeds, {axis["name"]: value}, **columns)
    ]
    asked = sweep or sweep_json([axis], seeds=len(values[0][1]))
    return write_sweep_report(write_sweep(tmp_path, rows, asked))


def test_the_best_its_interval_and_the_paired_differences_are_exact(known):
    summary = write_sweep_report(known, {RATE: 0.7, GAMMA_NAME: 0.3}, "made up")
    assert read_json(known / "summary.json") == summary
    assert [row["setting"] for row in summary["best"]] == [1, 2, 3, 0]
    best, second, third, last = summary["best"]
    found = estimate(np.array(KNOWN[1][2]))
    assert best["objective"] == {
        "mean": pytest.approx(8.3), "low": found.low, "high": found.high, "per_seed": KNOWN[1][2],
    }  # fmt: skip
    assert best["difference"] is None and best["changes"] == {RATE: 1e-3, GAMMA_NAME: 0.9}
    assert best["command"] == "ialp sweep-run --setting 1 --seeds 4"
    expected = paired_difference(np.array(KNOWN[2][2]), np.array(KNOWN[1][2]))
    assert second["difference"] == {
        "mean": expected.mean, "low": expected.low, "high": expected.high, "excludes_zero": False,
    }  # fmt: skip
    assert third["difference"]["mean"] == pytest.approx(-0.5)
    assert third["difference"]["high"] == pytest.approx(-0.5) and third["difference"]["excludes_zero"]
    assert last["difference"]["excludes_zero"] and last["metrics"]["novelty"] == pytest.approx(4.15)


def test_counts_costs_and_timings_are_summed(known):
    summary = write_sweep_report(known)
    assert summary["counts"] == {
        "settings": 4, "complete": 4, "stopped_early": 0, "failed": 0, "diverged": 0, "runs": 16, "planned_runs": None,
    }  # fmt: skip
    assert summary["costs"]["online_steps"] == {"sum": 16 * 400 * 512, "most": 400 * 512}
    assert summary["costs"]["llm_calls"] == {"sum": 16 * 7, "most": 7}
    assert summary["timings"] == {
        "units": 3, "buckets": 2, "compiles": 2, "seconds": 10.0, "compile_seconds": 4.0, "steps": 15_000,
    }  # fmt: skip
    cells = re.findall(r"<td>([^<]*)</td>", page_of(known))
    online = cells.index("online")
    assert cells[online - 9 : online] == [
        "pretraining",
        "fedcba98",
        "1",
        "4",
        "0",
        "1,000",
        "2.0",
        "500",
        "1.5",
    ]
    assert cells[online : online + 9] == [
        "online",
        "01234567",
        "2",
        "6 to 8",
        "2",
        "14,000",
        "8.0",
        "1,750",
        "2.5",
    ]


def test_the_headline_says_how_the_best_was_chosen_and_what_cannot_be_told_from_it(known):
    summary = write_sweep_report(known)
    selection = summary["selection"]
    assert (selection["candidates"], selection["not_distinguishable"]) == (4, 1)
    text = page_of(known)
    assert "The best setting is learning_rate = 0.001, gamma = 0.9" in text
    assert "8.30, 95 % interval" in text and "1 of the 3 other complete settings cannot be told apart" in text
    assert "highest of 4 by the same 4 seeds" in text and "winner&#39;s curse" in text
    assert '<pre class="command">ialp sweep-run --setting 1 --seeds 12</pre>' in text


def test_choosing_by_the_other_seeds_shows_what_choosing_adds(tmp_path):
    # Two settings that are pure noise: whoever wins without a seed loses on it.
    summary = one_axis(tmp_path, [(1e-3, [1.0, 0.0]), (1e-2, [0.0, 1.5])])
    assert summary["best"][0]["setting"] == 1
    assert summary["selection"]["best_plain_mean"] == 0.75
    assert summary["selection"]["held_out_mean"] == 0.0


@pytest.mark.parametrize(("seeds", "warned"), [(1, False), (2, True), (3, True), (4, False)])
def test_few_seeds_are_warned_of_at_the_top(tmp_path, seeds, warned):
    one_axis(tmp_path, [(1e-3, [1.0] * seeds), (1e-2, [2.0] * seeds)])
    assert ("far too narrow" in page_of(tmp_path)) == warned


def test_importance_that_is_unknown_says_why(known):
    write_sweep_report(known, {}, "two axes need 16 settings")
    assert "The importance of the axes was not computed: two axes need 16 settings." in page_of(known)


def test_the_page_fetches_nothing_runs_nothing_and_has_no_id_twice(tmp_path):
    rows, sweep, rungs = landscape(30, kind="halving")
    write_sweep(tmp_path, rows, sweep, rungs=rungs)
    write_sweep_report(tmp_path, {"policy.encoder": 0.2})
    text = page_of(tmp_path)
    page = Page(text)
    assert page.tags.count("svg") == 4  # slices, parallel coordinates, importance, rungs
    assert not {"script", "link", "iframe", "img", "object", "image"} & set(page.tags)
    assert page.addresses and all(address.startswith("#") for address in page.addresses)
    assert {address[1:] for address in page.addresses} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text and "default-src 'none'" in text
    assert "#fdfcfb" not in text and "#010203" not in text  # both follow the page's colours


def test_the_same_files_give_the_same_bytes(tmp_path):
    rows, sweep, _ = landscape(20, kind="adaptive")
    pages = []
    for folder in ("one", "two"):
        out = tmp_path / folder
        out.mkdir()
        write_sweep(out, rows, sweep)
        write_sweep_report(out, {"policy.encoder": 0.2})
        pages.append((page_of(out), (out / "summary.json").read_bytes()))
    assert pages[0] == pages[1]


def test_everything_from_the_data_is_escaped(tmp_path):
    axis = {"name": "policy.encoder", "values": [MALICIOUS, "日本語 $x^2$"]}
    judge = {"judge": MALICIOUS, "is_llm": False, "test_double": False, "statement": MALICIOUS}
    sweep = sweep_json([axis, GAMMA], environment=MALICIOUS, method=MALICIOUS, statements=[MALICIOUS], judge=judge,
                       fixed={MALICIOUS: MALICIOUS}, study={"a": MALICIOUS}, versions={"jax": MALICIOUS})  # fmt: skip
    rows = []
    for setting, value in enumerate(axis["values"]):
        changes = {"policy.encoder": value, GAMMA_NAME: 0.9}
        rows += rows_of(setting, [1.0, 2.0], changes, label=MALICIOUS, command=MALICIOUS)
    write_sweep(tmp_path, rows, sweep)
    write_sweep_report(tmp_path, {MALICIOUS: 1.0}, MALICIOUS)
    text = page_of(tmp_path)
    assert not {"script", "img"} & set(Page(text).tags)
    assert "日本語 $x^2$" in text and "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("judge", "box", "said"),
    [
        ({"judge": "content", "is_llm": False, "test_double": False}, "box warning", "No LLM judged anything here"),
        ({"judge": "vllm", "model": "tiny", "is_llm": True, "test_double": True}, "box alarm", "TEST DOUBLE"),
        ({"judge": "vllm", "model": "imagined-9b", "is_llm": True, "test_double": False}, "box plain", "imagined-9b"),
    ],
)  # fmt: skip
def test_who_judged_is_said_as_loudly_as_in_a_study(known, judge, box, said):
    write_json(known / "sweep.json", sweep_json([LOG, GAMMA], judge=judge))
    write_sweep_report(known)
    assert f'class="{box}"' in page_of(known) and said in page_of(known)


def test_without_a_table_nothing_is_said_of_a_judge(known):
    write_sweep_report(known)
    assert "Who judged" not in page_of(known) and 'class="box' not in page_of(known)


def test_one_seed_has_no_interval_and_says_so(tmp_path):
    summary = one_axis(tmp_path, [(1e-3, [3.0]), (1e-2, [5.0]), (1e-4, [4.0])])
    assert [row["setting"] for row in summary["best"]] == [1, 2, 0]
    assert summary["best"][0]["objective"] == {"mean": 5.0, "low": None, "high": None, "per_seed": [5.0]}
    assert summary["best"][1]["difference"] == {
        "mean": -1.0,
        "low": None,
        "high": None,
        "excludes_zero": False,
    }
    assert summary["selection"]["held_out_mean"] is None
    text = page_of(tmp_path)
    assert (
        "there is no interval" in text and "none of the 2 other complete settings can be told apart" in text
    )
    assert "clearly worse</td>" not in text and "Parallel coordinates need two axes or more" in text


def test_a_single_setting_has_nothing_to_beat(tmp_path):
    summary = one_axis(tmp_path, [(1e-3, [3.0, 4.0])])
    assert summary["selection"]["candidates"] == 1
    assert "The only complete setting is learning_rate = 0.001" in page_of(tmp_path)
    assert "winner" not in page_of(tmp_path)


def test_no_axis_at_all_is_a_sweep_of_one(tmp_path):
    rows = rows_of(0, [3.0, 4.0], {}, label="as it is")
    write_sweep_report(write_sweep(tmp_path, rows, sweep_json([], seeds=2)))
    assert "The only complete setting is as it is" in page_of(tmp_path)
    assert "Not drawn: nothing was swept" in page_of(tmp_path)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), None])
def test_a_setting_without_a_finite_value_failed_and_is_never_best(tmp_path, broken):
    summary = one_axis(tmp_path, [(1e-3, [3.0, 4.0]), (1e-2, [90.0, broken])])
    assert [row["setting"] for row in summary["best"]] == [0]
    assert summary["counts"]["failed"] == 1 and summary["failed"][0]["per_seed"] == [90.0, None]
    assert "no value" in page_of(tmp_path) and "Failed settings" in page_of(tmp_path)


def test_where_everything_failed_no_setting_is_best(tmp_path):
    rows = known_rows(**{"metric.mean_reward": float("nan")})
    summary = write_sweep_report(write_sweep(tmp_path, rows, sweep_json([LOG, GAMMA])))
    assert summary["best"] == [] and summary["counts"]["failed"] == 4
    assert summary["fresh_seeds_command"] is None
    assert "No setting can be called best" in page_of(tmp_path)
    assert "<svg" not in page_of(tmp_path)


def test_more_seeds_go_to_a_folder_of_their_own(tmp_path):
    rows = rows_of(0, [3.0, 4.0], {}, command="ialp train steam --seeds 2 --out runs/one")
    summary = write_sweep_report(write_sweep(tmp_path, rows, sweep_json([], seeds=2)))
    assert summary["fresh_seeds_command"] == "ialp train steam --seeds 6 --out runs/one-more-seeds"


def test_equal_settings_are_all_the_best(tmp_path):
    summary = one_axis(tmp_path, [(rate, [2.0, 3.0, 4.0]) for rate in (1e-4, 1e-3, 1e-2)])
    assert summary["selection"]["all_equal"] and summary["selection"]["not_distinguishable"] == 2
    assert [row["setting"] for row in summary["best"]] == [0, 1, 2]
    assert "No setting stands out: all 3 complete settings reached the same" in page_of(tmp_path)


def halved(tmp_path, rungs, **columns):
    """Setting 0 was stopped early at 9.0, setting 1 trained to the end at 5.0."""
    rows = [
        *rows_of(0, [9.0, 9.0], {RATE: 1e-3, GAMMA_NAME: 0.9}, complete=False, updates=100, **columns),
        *rows_of(1, [5.0, 5.5], {RATE: 1e-2, GAMMA_NAME: 0.8}, rung=1),
    ]
    kept = [
        {"setting": setting, "seed": seed, "rung": rung, "updates": (100, 400)[rung], "value": value}
        for setting, rung, value in ((0, 0, 9.0), (1, 0, 4.0), (1, 1, 5.0))
        for seed in (0, 1)
    ]
    sweep = sweep_json([LOG, GAMMA], "halving", 2)
    return write_sweep_report(write_sweep(tmp_path, rows, sweep, rungs=kept if rungs else None))


@pytest.mark.parametrize("rungs", [True, False])
def test_what_was_stopped_early_takes_no_part_in_the_ranking(tmp_path, rungs):
    summary = halved(tmp_path, rungs)
    assert [row["setting"] for row in summary["best"]] == [1]
    assert summary["counts"]["stopped_early"] == 1 and summary["counts"]["failed"] == 0
    assert 'id="rungs-' in page_of(tmp_path) and "their height is not comparable" in page_of(tmp_path)


def test_no_value_of_a_stopped_setting_is_no_failure_but_one_that_is_not_finite_is(tmp_path):
    assert halved(tmp_path, False, **{"metric.mean_reward": None})["counts"]["failed"] == 0
    assert halved(tmp_path, False, **{"metric.mean_reward": float("nan")})["counts"]["failed"] == 1


def test_an_adaptive_search_shows_the_best_so_far(tmp_path):
    rows, sweep, _ = landscape(12, kind="adaptive")
    write_sweep_report(write_sweep(tmp_path, rows, sweep))
    assert 'id="best-so-far-' in page_of(tmp_path) and "best so far" in page_of(tmp_path)


def test_a_setting_without_all_seeds_is_not_ranked(tmp_path):
    rows = known_rows()[:-1]
    summary = write_sweep_report(write_sweep(tmp_path, rows, sweep_json([LOG, GAMMA], planned_runs=16)))
    assert summary["counts"]["stopped_early"] == 1 and len(summary["best"]) == 3
    assert "15 of 16 planned runs are here" in page_of(tmp_path)


def test_what_the_users_worlds_cannot_show_is_said_before_what_is_missing(tmp_path):
    asked = sweep_json([LOG, GAMMA], planned_runs=32) | {
        "cautions": ["The users' world is <b>user-blind</b>."]
    }
    summary = write_sweep_report(write_sweep(tmp_path, known_rows(), asked))
    assert [note.split()[-1] for note in summary["notes"]][:2] == ["<b>user-blind</b>.", "here."]
    assert "is &lt;b&gt;user-blind&lt;/b&gt;." in page_of(tmp_path)


def test_booleans_and_none_are_values(tmp_path):
    flag = {"name": "preferences.shuffle", "values": [False, True]}
    limit = {"name": "preferences.threshold", "low": 0.1, "high": 0.9}
    rows = [
        row
        for setting, (on, bound) in enumerate([(True, None), (False, 0.5), (None, 0.9)])
        for row in rows_of(setting, [float(setting), setting + 1.0], {flag["name"]: on, limit["name"]: bound})
    ]
    summary = write_sweep_report(write_sweep(tmp_path, rows, sweep_json([flag, limit], seeds=2)))
    assert summary["best"][-1]["changes"] == {flag["name"]: True, limit["name"]: None}
    text = page_of(tmp_path)
    assert "<td>true</td>\n<td>none</td>" in text and "<td>none</td>\n<td>0.9</td>" in text


def test_metrics_costs_and_timings_that_are_missing_are_left_out_and_said(known):
    runs = pl.read_parquet(known / "results.parquet")
    runs.drop(
        "metric.novelty", "metric.coverage", "cost.llm_calls", "rung", "updates", "config"
    ).write_parquet(known / "results.parquet")
    (known / "timings.parquet").unlink()
    summary = write_sweep_report(known)
    assert summary["timings"] is None and summary["costs"]["llm_calls"] is None
    assert "novelty" not in summary["best"][0]["metrics"]
    text = page_of(known)
    assert "There is no timings.parquet" in text and "not recorded" in text and "<th>novelty</th>" not in text


def test_a_thousand_runs_are_one_page(tmp_path):
    rows, sweep, _ = landscape(250)
    summary = write_sweep_report(write_sweep(tmp_path, rows, sweep))
    assert summary["counts"]["runs"] == 1000 and len(summary["best"]) == 10
    assert (tmp_path / "report.html").stat().st_size < 4_000_000


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda runs: runs.drop("metric.mean_reward"), "metric.mean_reward"),
        (lambda runs: runs.drop(f"axis.{RATE}"), f"axis.{RATE}"),
        (lambda runs: runs.with_columns(pl.lit("high").alias("metric.mean_reward")), "metric.mean_reward"),
        (lambda runs: runs.with_columns(pl.lit("yes").alias("complete")), "complete"),
        (lambda runs: runs.with_columns(pl.lit(0).alias("seed")), "seed"),
        (lambda runs: runs.with_columns(pl.lit(0.0).alias(f"axis.{RATE}")), f"axis.{RATE}"),
        (lambda runs: runs.clear(), "no run"),
    ],
)
def test_malformed_results_are_refused_by_file_and_column(known, change, column):
    change(pl.read_parquet(known / "results.parquet")).write_parquet(known / "results.parquet")
    with pytest.raises(InputError, match=re.escape(column)) as caught:
        write_sweep_report(known)
    assert "results.parquet" in str(caught.value)
    assert not (known / "summary.json").exists() and not (known / "report.html").exists()


@pytest.mark.parametrize("field", ["objective", "search", "axes", "seeds"])
def test_a_field_missing_from_the_sweep_is_named(known, field):
    sweep = read_json(known / "sweep.json")
    del sweep[field]
    write_json(known / "sweep.json", sweep)
    with pytest.raises(InputError, match=f"sweep.json, column {field}"):
        write_sweep_report(known)


def test_files_that_are_missing_or_no_parquet_are_named(known):
    (known / "timings.parquet").write_text("no")
    with pytest.raises(InputError, match=r"timings\.parquet"):
        write_sweep_report(known)
    (known / "results.parquet").unlink()
    with pytest.raises(InputError, match=r"results\.parquet: the file does not exist"):
        write_sweep_report(known)


def test_places_on_an_axis():
    log = scale(LOG, "rate", [1e-4, 1e-3, 1e-2])
    assert log.kind == "log" and np.allclose(log.places, [0, 0.5, 1])
    assert [text for _, text in log.ticks] == ["0.0001", "0.001", "0.01"]
    names = scale({"name": "x", "values": ["b", "a"]}, "x", ["a", "b", "c"])
    assert names.kind == "category" and names.places.tolist() == [0.5, 0.0, 1.0]
    partly = scale({"name": "x"}, "x", [None, 1, 3])
    assert partly.places[0] == partly.lowest < 0 and partly.ticks[0][1] == "none"


def test_settings_of_one_value_are_fanned_in_order_and_stay_near_their_value():
    moved = fanned(np.array([0.0, 0.0, 0.0, 0.1]), np.array([3.0, 1.0, 2.0, 0.0]), 0.5)
    assert np.allclose(moved, [0.035, -0.035, 0.0, 0.1])


def test_texts_beside_each_other_do_not_touch():
    ticks = ((0.0, "0.0001"), (0.1, "0.0002"), (0.5, "1"), (0.62, "2"))
    assert thinned(ticks, gap=0.04, letter=0.03) == [ticks[0], ticks[2], ticks[3]]
    assert thinned(ticks, gap=0.11) == [ticks[0], ticks[2], ticks[3]] and thinned(ticks, gap=0.1) == list(
        ticks
    )


def test_short_numbers():
    assert [short_number(x) for x in (3e-5, 0.00123456, 256, 200_000, 0.0)] == [
        "3e-5", "0.00123", "256", "200,000", "0",
    ]  # fmt: skip


def test_the_report_of_a_sweep_never_imports_jax():
    code = "import sys; import ialp_jax.report.sweep; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_of_a_sweep_says_what_the_methods_card_says(known):
    card = {"title": "A2C from scratch", "meaning": "learns online only", "family": "actor-critics",
            "learns_online": True, "paper": "Nobody 1900"}  # fmt: skip
    write_json(known / "sweep.json", sweep_json([LOG, GAMMA], card=card))
    assert write_sweep_report(known)["card"]["title"] == "A2C from scratch"
    assert "sweep of A2C from scratch</h1>" in page_of(
        known
    ) and "learns online only (Nobody 1900)" in page_of(known)


def test_a_sweep_without_a_card_goes_by_the_methods_name(known):
    write_sweep_report(known)
    assert "sweep of a2c</h1>" in page_of(known)


def test_a_malformed_card_of_a_sweep_is_refused(known):
    write_json(known / "sweep.json", sweep_json([LOG, GAMMA], card={"title": "A2C"}))
    with pytest.raises(InputError, match=r"sweep\.json, column card\.learns_online: expected true or false"):
        write_sweep_report(known)


def test_sweeps_of_earlier_versions_are_read(tmp_path):
    """They called the mean reward "auc"."""
    wanted = read_sweep(write_sweep(tmp_path, known_rows(), sweep_json([LOG, GAMMA]))).runs
    write_json(tmp_path / "sweep.json", read_json(tmp_path / "sweep.json") | {"objective": "auc"})
    wanted.rename({"metric.mean_reward": "metric.auc"}).write_parquet(tmp_path / "results.parquet")
    files = read_sweep(tmp_path)
    assert files.objective == "mean_reward" and files.runs.equals(wanted)
