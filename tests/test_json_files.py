"""JSON files hold what every reader takes: no NaN, no infinity."""

import json
import math

import numpy as np
import polars as pl
import pytest

from ialp_jax.artifacts import json_text, read_json, write_json
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import apply, record_of

MEASURED = {
    "loss": math.nan,
    "runs": [1.0, -math.inf, np.float32(np.nan)],
    "array": np.array([0.5, np.nan]),
    "text": "NaN",
    "count": 3,
}


def test_numbers_that_are_none_are_null(tmp_path):
    write_json(tmp_path / "measured.json", MEASURED)
    text = (tmp_path / "measured.json").read_text(encoding="utf-8")
    expected = {"loss": None, "runs": [1.0, None, None], "array": [0.5, None], "text": "NaN", "count": 3}
    assert json.loads(text, parse_constant=pytest.fail) == expected == read_json(tmp_path / "measured.json")
    assert pl.read_json(tmp_path / "measured.json")["loss"].to_list() == [None]


def test_finite_values_are_written_as_before():
    value = {"a": [1, 2.5, True, None], "b": {"c": "é"}}
    assert json_text(value, indent=2) == json.dumps(value, indent=2) and json_text(value) == json.dumps(value)


def test_a_setting_without_bound_is_recorded_as_text():
    config = apply(StudyConfig(methods=("ialp",)), {"methods.ialp.supervised_share": math.inf})
    assert record_of(config)["options"]["ialp"]["supervised_share"] == "inf"
    json.dumps(record_of(config), allow_nan=False)
