"""Ids that went through floats: whole ones are integers, missing ones are missing, rounded ones are refused."""

from pathlib import Path

import polars as pl
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.data import steam
from ialp_jax.data.build import DataConfig
from ialp_jax.data.ids import checked_ids
from ialp_jax.data.reading import ROW
from ialp_jax.data.tabular import TabularConfig, load

ALL = DataConfig(k_core=1)
TABLES = TabularConfig(interactions=Path("logs.parquet"), items=Path("items.parquet"))
BIG = 76561198032168123


def ids_of(*ids):
    frame = pl.DataFrame({ROW: range(2, len(ids) + 2), "id": ids}, schema={ROW: pl.Int64, "id": pl.String})
    return checked_ids(frame, "logs.csv", ["id"])["id"].to_list()


def write(folder, users, items, catalogue):
    pl.DataFrame({"user": users, "item": items}).write_parquet(folder / "logs.parquet")
    pl.DataFrame({"item": catalogue, "title": ["One", "Two"]}).write_parquet(folder / "items.parquet")
    return load(folder, ALL, TABLES)


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32, pl.Int32, pl.String, pl.Decimal(9, 2)])
def test_whole_floats_are_integers_whatever_the_other_table_holds(tmp_path, dtype):
    items = pl.Series([212, 184, 212, 184]).cast(dtype)
    dataset = write(tmp_path, pl.Series([1.0, 1, 2, 2]), items, pl.Series([212, 184]))
    assert dataset.items["raw_id"].to_list() == ["184", "212"]
    assert dataset.users["raw_id"].to_list() == ["1", "2"]


@pytest.mark.parametrize(
    ("dtype", "least", "said"),
    [
        (pl.Float64, 2.0**53, "9,007,199,254,740,992"),
        (pl.Float32, 2.0**24, "16,777,216"),
        (pl.Float64, float("inf"), "inf went through"),
    ],
)
def test_rounded_ids_are_refused_and_the_largest_exact_one_is_not(tmp_path, dtype, least, said):
    with pytest.raises(InputError, match=rf"logs\.parquet, row 3, column user: .*{said}.*64-bit integers"):
        write(tmp_path, pl.Series([1, 1, least, -least], dtype=dtype), ["1", "2"] * 2, ["1", "2"])
    if least < float("inf"):
        dataset = write(
            tmp_path, pl.Series([1, 1, least - 1, least - 1], dtype=dtype), ["1", "2"] * 2, ["1", "2"]
        )
        assert dataset.users["raw_id"].to_list() == ["1", str(int(least) - 1)]


@pytest.mark.parametrize("missing", [float("nan"), None])
def test_nan_is_no_user(tmp_path, missing):
    with pytest.raises(InputError, match=r"logs\.parquet, row 3, column user: the value is missing"):
        write(tmp_path, pl.Series([1.0, 2, missing, 2], strict=False), ["1", "2"] * 2, ["1", "2"])


def test_large_values_and_times_are_no_ids(tmp_path):
    logs = pl.DataFrame(
        {"user": [1, 1, 2, 2], "item": [1, 2] * 2, "value": [1e300, 1, 2, 0.5], "time": [1.6e18, 1.7e18] * 2}
    )
    logs.write_parquet(tmp_path / "logs.parquet")
    pl.DataFrame({"item": [1, 2], "title": [1984.0, 2001.0]}).write_parquet(tmp_path / "items.parquet")
    tables = TabularConfig(
        interactions=Path("logs.parquet"), items=Path("items.parquet"), value="value", time="time"
    )
    dataset = load(tmp_path, ALL, tables)
    assert dataset.interactions["value"].to_list() == [1e300, 1, 2, 0.5]
    assert dataset.items["title"].to_list() == ["1984", "2001"]


def test_text_that_was_written_from_floats():
    assert ids_of("212.0", "184.0") == ["212", "184"]
    assert ids_of("99999", "1e+05", "1.5e+06") == ["99999", "100000", "1500000"]
    for text in (["1.0", "1.10"], ["212.0", "x"], ["1e5", "2e7"], [str(BIG), "1"], ["nan", "Ann"]):
        assert ids_of(*text) == text


def test_text_that_was_rounded_or_is_missing_is_refused():
    with pytest.raises(
        InputError, match=r"row 3, column id: 7\.6561198032168e\+16 went through a Float64, which rounds"
    ):
        ids_of("1.0", "7.6561198032168e+16")
    for missing in ("nan", "NaN", None, ""):
        with pytest.raises(InputError, match="row 3, column id: the value is missing"):
            ids_of("1.0", missing)


def test_other_sources_read_ids_alike(tmp_path):
    (tmp_path / "items.tsv").write_text("item_id\ttitle\tgenres\ttags\n1\tOne\t\t\n2\tTwo\t\t\n")
    (tmp_path / "play.tsv").write_text("user\titem\thours\na\t1.0\t2\na\t2.0\t1\nb\t1.0\t1\nb\t2.0\t3\n")
    assert steam.load(tmp_path, ALL).num_interactions == 4
