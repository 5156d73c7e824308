"""Times of interactions as numbers that sort, whether they were written as numbers or as dates."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ialp_jax.data.reading import numbers, reject, require_values

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PER_SECOND = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
SINCE, UNTIL = 1e8, 1e10  # seconds after 1970: the years 1973 to 2286 in one unit are none of them in another


def sortable_times(logs: pl.DataFrame, path: Path, column: str) -> pl.Series:
    """Times as numbers that sort: the number itself, or microseconds of a date.

    Raises:
        InputError: naming the first row whose time is missing, neither a number nor a date, or in another unit.
    """
    require_values(logs, path, [column])
    text = logs[column].str.strip_chars()
    as_number = text.cast(pl.Float64, strict=False)
    if as_number.null_count() < logs.height:
        times = numbers(logs, path, column)
        _require_one_unit(logs, path, column, times)
        return times
    moments = pl.Series([_microseconds(value) for value in text], dtype=pl.Int64)
    reject(logs, path, column, moments.is_null(), lambda value: f"{value!r} is not a time",
           "write 2024-05-01 12:00 or a number")  # fmt: skip
    return moments


def _require_one_unit(logs: pl.DataFrame, path: Path, column: str, times: pl.Series) -> None:
    """Raises `InputError` where all times could be since 1970, but in different units: then they do not sort."""
    seconds, units = times.to_numpy(), list(PER_SECOND)
    unit = np.full(len(seconds), len(units), np.int8)  # that of no time since 1970
    for number, per_second in enumerate(PER_SECOND.values()):
        unit[(seconds >= SINCE * per_second) & (seconds < UNTIL * per_second)] = number
    counts = np.bincount(unit[seconds >= SINCE], minlength=len(units) + 1)
    if counts[-1] or np.count_nonzero(counts) < 2:
        return
    usual = int(np.argmax(counts))
    other = pl.Series((unit != usual) & (unit < len(units)))
    found = units[unit[int(other.arg_max() or 0)]]
    reject(logs, path, column, other,
           lambda value: f"{value} counts {found} since 1970, most times here {units[usual]}",
           "write all times in one unit")  # fmt: skip


def _microseconds(value: str) -> int | None:
    """Since 1970 of an ISO 8601 date; UTC where it names no zone; None where it is no date."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1)
