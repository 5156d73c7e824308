import dataclasses
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from raw_logs import raw_logs

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig, build
from ialp_jax.data.dataset import Dataset, histories


@pytest.fixture
def timed():
    """Two users: "2" met five items, latest first in the file; "10" met two."""
    rows = [("2", item, 1.0, 9 - number) for number, item in enumerate("abcde")]
    return build(raw_logs([*rows, ("10", "a", 3.0, 1), ("10", "b", 0.5, 1)]), DataConfig(k_core=1))


def test_ids_follow_numbers_and_positions_follow_time(timed):
    assert timed.users["raw_id"].to_list() == ["2", "10"]
    first = timed.interactions.filter(pl.col("user") == 0)
    assert first["item"].to_list() == [4, 3, 2, 1, 0]
    assert first["position"].to_list() == [0, 1, 2, 3, 4]
    assert first["part"].to_list() == ["held_out"] * 3 + ["history"] * 2


def test_histories_hold_the_latest_last_and_fill_on_the_left(timed):
    items, grades, lengths = histories(timed, 3)
    assert items[0].tolist() == [5, 1, 0]
    assert lengths.tolist() == [2, 1]
    assert items[1, :2].tolist() == [5, 5]
    np.testing.assert_allclose(grades[0], [0, 1.0, 0.5])  # item b: 1.0 > 0.5; item a: 1.0 < 3.0
    assert (items.dtype, grades.dtype, lengths.dtype) == (np.int32, np.float32, np.int32)
    assert histories(timed, 1)[0].tolist() == [[0], [items[1, 2]]]


def test_histories_refuse_length_zero(timed):
    with pytest.raises(InputError, match="history length is 0"):
        histories(timed, 0)


def test_history_length_limits_the_history():
    rows = [(user, f"i{item:02d}", 1.0, item) for user in "ab" for item in range(30)]
    dataset = build(raw_logs(rows), DataConfig(k_core=1, history_length=4))
    for user in range(2):
        own = dataset.interactions.filter((pl.col("user") == user) & (pl.col("part") == "history"))
        assert own["item"].to_list() == [26, 27, 28, 29]


def test_save_and_load_are_inverse(timed, tmp_path):
    timed.save(tmp_path / "saved", parents={"raw": "abc"})
    loaded = Dataset.load(tmp_path / "saved")
    for name in ("users", "items", "interactions"):
        assert getattr(loaded, name).equals(getattr(timed, name))
    assert loaded.fingerprint == timed.fingerprint
    assert loaded.statements == timed.statements
    assert loaded.known_ratings is None


def test_known_ratings_are_saved(timed, tmp_path):
    ratings = np.full((2, 5), 0.5, np.float32)
    complete = dataclasses.replace(timed, known_ratings=ratings)
    complete.save(tmp_path / "saved")
    np.testing.assert_array_equal(Dataset.load(tmp_path / "saved").known_ratings, ratings)
    assert complete.fingerprint != timed.fingerprint


def test_an_altered_file_is_refused(timed, tmp_path):
    timed.save(tmp_path / "saved")
    (tmp_path / "saved" / "items.parquet").write_bytes(b"other")
    with pytest.raises(InputError, match=r"items\.parquet.*altered"):
        Dataset.load(tmp_path / "saved")


def test_nothing_is_left_where_saving_fails(timed, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(InputError, match="disk full"):
        timed.save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frame", "change", "message"),
    [
        ("users", pl.lit("both").alias("split"), "column split.*offline, profiled, online or unused"),
        ("users", pl.lit("x").alias("raw_id"), "column raw_id.*twice"),
        ("users", pl.lit(1).alias("age"), "column age.*not part"),
        ("items", pl.col("item").cast(pl.Int64), "column item.*Int64, not Int32"),
        ("items", pl.lit(None, pl.String).alias("title"), "column title.*missing values"),
        ("interactions", (pl.col("item") + 1).cast(pl.Int32), "column item.*outside 0..4"),
        ("interactions", (pl.col("grade") + 1).cast(pl.Float32), "column grade.*outside"),
        ("interactions", pl.lit(float("nan")).alias("value"), "column value.*not finite"),
        ("interactions", pl.lit(0, pl.Int32).alias("item"), "column item.*twice"),
        ("interactions", pl.lit(0, pl.Int32).alias("position"), "column position"),
        ("interactions", pl.lit("old").alias("part"), "column part"),
    ],
)
def test_a_dataset_that_breaks_a_rule_is_refused(timed, frame, change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(timed, **{frame: getattr(timed, frame).with_columns(change)})


def test_known_ratings_of_the_wrong_shape_or_range_are_refused(timed):
    with pytest.raises(InputError, match=r"float32 \[2, 4\]"):
        dataclasses.replace(timed, known_ratings=np.zeros((2, 4), np.float32))
    with pytest.raises(InputError, match="outside the rating range"):
        dataclasses.replace(timed, known_ratings=np.full((2, 5), 1.5, np.float32))


def test_the_room_never_imports_jax():
    program = (
        "import importlib, pkgutil, sys, ialp_jax.data as room\n"
        "for module in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'ialp_jax.data.{module.name}')\n"
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
