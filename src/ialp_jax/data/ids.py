"""Ids that went through floating-point numbers: whole ones are integers again, rounded ones are refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ialp_jax.data.reading import reject, require_values

INTEGER = r"^-?\d+$"
FLOAT = r"^-?\d+\.0+$|^-?\d\.\d+[eE]\+?\d+$|^-?\d[eE]\+\d+$"  # as programs write floats that are whole
MISSING = r"^(?i)nan$"
FIX = "write ids as text or as 64-bit integers where they are made"


def checked_ids(frame: pl.DataFrame, path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """The table with ids that all sources write alike: `212.0` is `212` where a whole column is written so, NaN is missing.

    Args:
        frame: a table of text with the column `ROW`.
        path: its file, for errors.
        columns: of ids.

    Raises:
        InputError: naming the first row whose id is missing, or is a float in which ids were rounded together.
    """
    frame = frame.with_columns(_integers(frame, path, column).alias(column) for column in columns)
    require_values(frame, path, columns)
    return frame


def _integers(frame: pl.DataFrame, path: Path, column: str) -> pl.Series:
    ids = frame[column]
    if not ids.str.contains(r"[.eE]|^(?i)nan$").any():
        return ids
    if not ids.drop_nulls().str.contains(f"{INTEGER}|{FLOAT}|{MISSING}").all():
        return ids
    floats = ids.str.contains(FLOAT)
    numbers = ids.set(~floats, None).cast(pl.Float64, strict=False)
    _reject_rounded(frame, path, column, numbers)
    whole = numbers.is_not_null() & (numbers == numbers.floor())
    named = numbers.set(~whole, None).cast(pl.Int64).cast(pl.String)
    missing = ids.str.contains(MISSING)
    return pl.select(pl.when(whole).then(named).when(~missing).then(ids)).to_series()


def floats_as_text(frame: pl.DataFrame, path: Path, ids: Sequence[str]) -> pl.DataFrame:
    """The table with its columns of floats as text: whole numbers without a fraction, NaN as null.

    Raises:
        InputError: naming the first row of a column of `ids` in which ids were rounded together.
    """
    floats = [column for column in frame if column.dtype.is_float()]
    for column in floats:
        if column.name in ids:
            _reject_rounded(frame, path, column.name, column)
    return frame.with_columns(_as_text(column) for column in floats)


def _as_text(column: pl.Series) -> pl.Series:
    exact = column.is_finite() & (column == column.floor()) & (column.abs() < _exact_below(column))
    whole = column.set(~exact, None).cast(pl.Int64).cast(pl.String)
    text = column.fill_nan(None).cast(pl.String)
    return pl.select(pl.when(exact).then(whole).otherwise(text)).to_series().alias(column.name)


def _reject_rounded(frame: pl.DataFrame, path: Path, column: str, numbers: pl.Series) -> None:
    exact_below = _exact_below(numbers)
    rounded = (numbers.abs() >= exact_below) & ~numbers.is_nan()
    reject(frame, path, column, rounded.fill_null(False),
           lambda value: f"{value} went through a {numbers.dtype}, which rounds different ids from {exact_below:,} on to one",
           FIX)  # fmt: skip


def _exact_below(floats: pl.Series) -> int:
    """Below it every integer is a number of its own; from there on neighbours are rounded to one."""
    return 2 ** int(np.finfo(floats.head(0).to_numpy().dtype).nmant + 1)
