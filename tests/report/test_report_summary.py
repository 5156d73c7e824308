"""`summary.json` keeps the interface scripts rely on, and the headline follows the numbers."""

import json

import numpy as np
import pytest
from fake_report_run import CARDS, LEVELS, write_fake_run

from ialp_jax.artifacts import InputError
from ialp_jax.report import write_report
from ialp_jax.report.cards import read_card
from ialp_jax.report.comparisons import compare, difference
from ialp_jax.report.headline import headline
from ialp_jax.report.inputs import read_run
from ialp_jax.report.summary import build_summary, describe_metric

READ = {name: read_card(card, name, "results.json", "card") for name, card in CARDS.items()}


def per_seed(**rewards):
    """The same five values for every metric of each method."""
    metrics = ("initial_reward", "final_reward", "mean_reward")
    return {name: dict.fromkeys(metrics, np.asarray(values, float)) for name, values in rewards.items()}


def test_the_interface_of_issue_2(fake_run):
    summary = build_summary(read_run(fake_run))
    assert summary["env"] == "steam"
    assert summary["world"] == {"source": "synthetic", "users": 2386, "items": 1515, "interactions": 61_234,
                                "item_mean_share": 0.41}  # fmt: skip
    assert {"judge", "is_llm", "model", "pairs", "auc_vs_world"} <= set(summary["preferences"])
    assert summary["preferences"]["is_llm"] is False
    assert summary["budget"] == {"online_steps": 1_000_000, "seeds": 5, "pretrain_steps": 500_000}
    assert set(summary["methods"]) == set(LEVELS)
    for method in summary["methods"].values():
        assert {"online_steps", "judgements"} <= set(method)
        for metric in (
            "initial_reward",
            "final_reward",
            "mean_reward",
            "length",
            "reward_per_turn",
            "coverage",
        ):
            assert method[metric]["low"] <= method[metric]["mean"] <= method[metric]["high"]
            assert len(method[metric]["per_seed"]) == 5
    assert "interquartile mean" in summary["statistic"] and "95% stratified bootstrap" in summary["statistic"]


def test_a_metric_is_its_interquartile_mean():
    found = describe_metric(np.array([0.0, 1.0, 2.0, 3.0, 100.0]))
    assert found["mean"] == pytest.approx(2.0)
    assert found["per_seed"] == [0.0, 1.0, 2.0, 3.0, 100.0]


def test_a_value_that_is_not_finite_blanks_the_metric_and_is_noted(tmp_path):
    assert describe_metric(np.array([1.0, np.nan])) == {
        "mean": None,
        "low": None,
        "high": None,
        "per_seed": [1.0, None],
    }
    write_fake_run(tmp_path, levels={"a2c": LEVELS["a2c"]})
    text = (tmp_path / "results.json").read_text()
    start = text.index('"mean_reward": [') + len('"mean_reward": [')
    (tmp_path / "results.json").write_text(text[:start] + "null" + text[text.index(",", start) :])
    summary = build_summary(read_run(tmp_path))
    assert summary["methods"]["a2c"]["mean_reward"]["per_seed"][0] is None
    assert any("a2c has no finite value for every seed in: mean_reward" in note for note in summary["notes"])


def test_verdicts_have_known_answers():
    rows = compare(
        READ, per_seed(ialp=[5, 6, 7, 8, 9], a2c=[1, 2, 3, 4, 5], random=[1.1, 1.9, 3.1, 3.9, 5.0])
    )
    by_pair = {(row["method"], row["other"], row["metric"]): row for row in rows}
    first = by_pair["ialp", "a2c", "initial_reward"]
    assert (first["mean"], first["low"], first["high"], first["verdict"]) == (4, 4, 4, "higher")
    assert (first["seeds_above"], first["seeds"]) == (5, 5)
    assert by_pair["a2c", "random", "final_reward"]["verdict"] == "not clear"
    swapped = compare(READ, per_seed(a2c=[5, 6, 7, 8, 9], ialp=[1, 2, 3, 4, 5]))
    assert [(row["method"], row["verdict"]) for row in swapped] == [("ialp", "lower")]


def test_a_verdict_among_many_questions_rests_on_a_wider_interval():
    first, second = np.array([0.3, 1.4, -0.5, 1.1, 0.2, 0.9, -0.2, 1.3, 0.1, 0.8]), np.zeros(10)
    alone, among = difference(first, second), difference(first, second, 300)
    assert alone["low"] > 0.0 and (alone["verdict"], among["verdict"]) == ("higher", "not clear")
    assert {**alone, "verdict": None} == {**among, "verdict": None}
    assert difference(first + 1.0, second, 300)["verdict"] == "higher"


def test_the_questions_of_a_page_are_counted_by_their_answers():
    rivals = [
        {"other": f"other {place}", "metric": "final_reward", "question": "?", "premise": ""}
        for place in range(300)
    ]
    cards = {"asks": {**READ["ialp"], "rivals": rivals}}
    values = np.array([0.3, 1.4, -0.5, 1.1, 0.2, 0.9, -0.2, 1.3, 0.1, 0.8])
    some, every = (
        compare(cards, {"asks": {"final_reward": values}}
                | {f"other {place}": {"final_reward": np.zeros(10)} for place in range(count)})
        for count in (1, 300)
    )  # fmt: skip
    assert [row["verdict"] for row in some] == ["higher"] and len(every) == 300
    assert {row["verdict"] for row in every} == {"not clear"}


def test_the_headline_turns_with_the_numbers(fake_run):
    run = read_run(fake_run)
    assert "clearly more (+" in headline(build_summary(run))[0]
    run.per_seed["ialp"], run.per_seed["a2c"] = run.per_seed["a2c"], run.per_seed["ialp"]
    turned = headline(build_summary(run))
    assert "clearly less (-" in turned[0]
    assert any("A-iALP_ap mixture ended clearly above A-iALP_ft" in sentence for sentence in turned)
    run.per_seed["a2c"] = run.per_seed["random"]
    last = headline(build_summary(run))[-1]
    assert "A2C from scratch did not clearly end above random (+0.00" in last
    assert "popular" in last and "the budget is too small to judge it" in last


def rewritten(folder, change):
    """A run whose results.json has been changed as earlier or other versions would have written it."""
    write_fake_run(folder)
    results = json.loads((folder / "results.json").read_text())
    change(results)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_what_the_phases_are_is_read_from_the_run_and_said_everywhere(tmp_path):
    shares = {"initial": 0.2, "final": 0.3}
    run = read_run(rewritten(tmp_path, lambda results: results.update(phases=shares)))
    summary = build_summary(run)
    assert summary["phases"] == shares
    assert "In the first 20 % of the online sessions" in headline(summary)[0]
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "first 20 % of the online sessions" in page and "last 30 % of the online sessions" in page
    assert "first 5 %" not in page and "last 10 %" not in page


def test_runs_of_earlier_versions_are_read(tmp_path):
    """They had no phases and no cards, and called the mean reward "auc"."""

    def earlier(results):
        results.pop("phases", None)
        for method in results["methods"].values():
            method["per_seed"]["auc"] = method["per_seed"].pop("mean_reward")
            del method["card"]

    summary = build_summary(read_run(rewritten(tmp_path, earlier)))
    assert summary["phases"] == {"initial": 0.05, "final": 0.1}
    assert summary["methods"]["a2c"]["mean_reward"]["mean"] > 0 and "auc" not in summary["methods"]["a2c"]
    assert summary["comparisons"] == [] and any("no card of any method" in note for note in summary["notes"])
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "a_ialp_ap_mixture" in page and "eight of the pre-trained policy" in page


@pytest.mark.parametrize(
    "phases", [{"initial": 0.05}, {"initial": 0.0, "final": 0.1}, {"initial": 2.0, "final": 0.1}, 3]
)
def test_phases_that_are_none_are_refused(tmp_path, phases):
    with pytest.raises(InputError, match=r"results\.json, column phases: expected shares"):
        read_run(rewritten(tmp_path, lambda results: results.update(phases=phases)))
