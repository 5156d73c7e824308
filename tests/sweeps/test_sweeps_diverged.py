"""One setting that diverges, in a stage before the last, ends no sweep: it is named, and counts as the last."""

import json

import numpy as np
import polars as pl
import pytest
from sweep_jobs import run_sweep, tiny_sweep

from ialp_jax.artifacts import read_json
from ialp_jax.sweeps.space import Axis

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("batched_keys")]
TOO_LARGE = Axis("methods.ialp.learning_rate", values=(1e30, 0.003))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Folder, summary and what was said of a sweep over the step size of pre-training, which is not measured itself."""
    place = tmp_path_factory.mktemp("swept")
    summary, said = run_sweep(tiny_sweep(place, TOO_LARGE, method="a_ialp_ft"), place / "out")
    return place / "out", summary, said


def test_the_tables_name_it_and_hold_no_number_of_it(swept):
    rows = pl.read_parquet(swept[0] / "results.parquet").sort("setting", "seed")
    assert rows["complete"].all() and rows.height == 4
    told = rows["diverged"].to_list()
    assert told[2:] == [None, None] and all(
        one.startswith("update 1 of 8 of iALP pre-training: params.") for one in told[:2]
    )
    metrics = rows.select(pl.col("^metric\\..*$").cast(pl.Float64))
    assert metrics[:2].null_count().sum_horizontal()[0] == 2 * metrics.width
    assert np.isfinite(metrics[2:].to_numpy()).all()


def test_it_counts_as_the_last(swept):
    _, summary, said = swept
    assert [row["setting"] for row in summary["best"]] == [1]
    assert summary["counts"] | {"complete": 1, "failed": 1, "diverged": 1} == summary["counts"]
    assert [row["setting"] for row in summary["failed"]] == [0] and len(summary["failed"][0]["diverged"]) == 2
    assert (
        "1 setting diverged and counts as the last (learning_rate 1e+30: seed 0 at update 1 of 8 of iALP pre-training"
        in said
    )
    assert said.index("best") < said.index("diverged")


def test_the_page_names_it_and_every_file_is_json(swept):
    out = swept[0]
    assert "diverged: seed 1 at update 1 of 8 of iALP pre-training" in (out / "report.html").read_text(
        encoding="utf-8"
    )
    files = [file for file in out.rglob("*.json") if "checkpoints" not in file.parts]
    assert any(read_json(file).get("diverged") for file in files if file.name == "result.json")
    for file in files:
        json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
