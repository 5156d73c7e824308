"""A method that diverges is named so everywhere, counts as the last, and ends nothing else."""

import io
import json

import jax
import numpy as np
import pytest
from earlier import earlier
from rich.console import Console
from tiny_study import FIXED, TINY

import ialp_jax
from ialp_jax.artifacts import read_json
from ialp_jax.report import print_summary

METHODS = ("random", "a2c", "ialp", "a_ialp_ft")
SIZES = FIXED | {"seeds": 2}


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """Folder and summary of a study in which A2C, and iALP's pre-training, have steps that no float32 can hold."""
    place = tmp_path_factory.mktemp("diverged")
    (place / "tiny.py").write_text(TINY, encoding="utf-8")
    changes = {"methods.a2c.learning_rate": 1e30, "methods.ialp.learning_rate": 1e30}
    with jax.debug_key_reuse(False):
        summary = ialp_jax.train(str(place / "tiny.py"), out=place / "out", methods=METHODS, quiet=True,
                                 **SIZES | earlier(METHODS) | changes)  # fmt: skip
    return place / "out", summary


@pytest.mark.slow
def test_results_say_where_it_diverged_and_hold_no_number_of_it(diverged):
    methods = read_json(diverged[0] / "results.json")["methods"]
    assert (
        "diverged" not in methods["random"] and np.isfinite(methods["random"]["per_seed"]["coverage"]).all()
    )
    for name, stage, updates in (
        ("a2c", "a2c", 12),
        ("a_ialp_ft", "iALP pre-training", 8),
        ("ialp", "iALP pre-training", 8),
    ):
        seeds = methods[name]["diverged"]
        assert [(one["seed"], one["stage"], one["updates"]) for one in seeds] == [
            (seed, stage, updates) for seed in (0, 1)
        ]
        assert all(one["update"] == 1 and one["leaves"][-1].startswith("params.") for one in seeds)
        assert all(values == [None, None] for values in methods[name]["per_seed"].values())
        assert sum(methods[name]["departures"].values()) == 0


@pytest.mark.slow
def test_every_file_is_json_that_any_reader_takes(diverged):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    files = list(diverged[0].rglob("*.json"))
    assert {"results.json", "summary.json", "config.json", "world.json"} <= {file.name for file in files}
    for file in files:
        json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.slow
def test_report_and_terminal_name_it(diverged):
    out, summary = diverged
    page = (out / "report.html").read_text(encoding="utf-8")
    said = "A2C from scratch diverged in 2 of 2 seeds and counts as the last: seed 0 at update 1 of 12 of a2c: params."
    assert said in page and page.count(">diverged<") == 3
    console = Console(file=io.StringIO(), width=200)
    print_summary(summary, console)
    printed = console.file.getvalue()
    assert said in printed
    rows = {name: next(line for line in printed.splitlines() if line.strip().startswith(name))
            for name in ("random", "A2C from scratch", "A-iALP_ft")}  # fmt: skip
    assert ["diverged" in rows[name] for name in rows] == [False, True, True]


@pytest.mark.slow
def test_no_policy_of_it_is_exported(diverged):
    assert not (diverged[0] / "policy").exists()


@pytest.mark.slow
def test_its_numbers_are_missing_from_the_table_of_results(diverged):
    table = ialp_jax.read(diverged[0])
    found = {method: table.filter(method=method)["metric.mean_reward"].null_count() for method in METHODS}
    assert found == {"random": 0, "a2c": 2, "ialp": 2, "a_ialp_ft": 2}
