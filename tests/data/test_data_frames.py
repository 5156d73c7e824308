"""A parquet file is a table with the columns asked for, or one error."""

import polars as pl
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.data.frames import read_frame


def test_a_table_comes_back_whole(tmp_path):
    frame = pl.DataFrame({"item": [1, 2], "title": ["a", None]})
    frame.write_parquet(tmp_path / "x.parquet")
    assert read_frame(tmp_path / "x.parquet", {"item": pl.Int64}).equals(frame)


@pytest.mark.parametrize(
    "raised", [pl.exceptions.PanicException("called unwrap"), OSError("no"), pl.exceptions.ComputeError("no")]
)
def test_what_polars_cannot_read_is_one_error(tmp_path, monkeypatch, raised):
    """Of some flipped bits it panics, which is no Exception."""

    def broken(path):
        raise raised

    monkeypatch.setattr(pl, "read_parquet", broken)
    with pytest.raises(InputError, match="not a readable parquet file") as caught:
        read_frame(tmp_path / "x.parquet")
    assert caught.value.file == tmp_path / "x.parquet"


@pytest.mark.parametrize(
    ("columns", "message"), [({"user": pl.Int64}, "missing"), ({"item": pl.Int32}, "holds Int64, not Int32")]
)
def test_columns_of_another_kind(tmp_path, columns, message):
    pl.DataFrame({"item": [1, 2]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=message):
        read_frame(tmp_path / "x.parquet", columns)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_frame(tmp_path / "x.parquet")
