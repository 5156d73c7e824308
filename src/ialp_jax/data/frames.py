"""Parquet files, read so that whatever lies there is a table with the columns asked for, or one error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ialp_jax.artifacts import InputError

# Of some damage polars panics, which is no Exception and would pass every other handler (findings/).
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def read_frame(
    path: Path, columns: Mapping[str, Any] | None = None, fix: str = "write it again"
) -> pl.DataFrame:
    """Reads a parquet file.

    Args:
        path: of the file.
        columns: their types; of columns that are not named here nothing is asked, and all are returned.
        fix: what the user can do where the file cannot be used.

    Raises:
        InputError: if the file is missing or damaged, or a column is missing or of another type.
    """
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise InputError(
            "the file does not exist", file=path, fix="check the path or the folder given"
        ) from None
    except UNREADABLE as error:
        raise InputError(f"not a readable parquet file ({error})", file=path, fix=fix) from error
    for name, kind in (columns or {}).items():
        if name not in frame.columns:
            raise InputError("the column is missing", file=path, column=name, fix=fix)
        if frame.schema[name] != kind:
            raise InputError(
                f"the column holds {frame.schema[name]}, not {kind}", file=path, column=name, fix=fix
            )
    return frame
