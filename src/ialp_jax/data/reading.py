"""Reads tables and matrices people bring, so that whatever is wrong is named by file, row and column.

Row numbers count from 1 and include the header, as an editor shows them (parquet: the record).
Everything is read as text first: only then can a bad value be quoted together with its place.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.artifacts import InputError

ROW = "file_row"


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The file's text, unpacked where the name ends in `.gz`.

    Raises:
        InputError: missing file, truncated or damaged gzip, or bytes that are not `encoding`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            "the file does not exist", file=path, fix="check the path or the folder given"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot be read ({reason})", file=path, fix="give a readable file") from error
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"truncated or damaged gzip ({error})", file=path,
                             fix="download or copy the file again") from error  # fmt: skip
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"byte 0x{content[error.start]:02x} is not UTF-8 text", file=path, row=row,
                         fix="convert it, for example: iconv -f LATIN1 -t UTF-8") from error  # fmt: skip


def read_table(
    path: Path,
    columns: Sequence[str],
    *,
    separator: str = "\t",
    quote: str | None = None,
    encoding: str = "utf-8-sig",
) -> pl.DataFrame:
    """The named columns of a delimited text file with a header line, plus `ROW` (Int64), its place there.

    Args:
        path: the file; `.gz` is unpacked.
        columns: columns to return; others are ignored.
        separator: between fields.
        quote: character around fields that hold separators or line ends; None if quotes mean nothing.
        encoding: of the bytes.

    Returns:
        String columns (null where a field is empty) and `ROW`; blank lines are left out.

    Raises:
        InputError: everything `read_text` raises, no header, a missing column, a row with too many fields.
    """
    text = read_text(path, encoding)
    try:
        frame = pl.read_csv(io.StringIO(text), separator=separator, quote_char=quote, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise InputError(
            "the file is empty", file=path, fix=f"give a file with the columns {list(columns)}"
        ) from None
    except pl.exceptions.PolarsError as error:
        raise InputError("more fields than the header names, or a quote that is never closed", file=path,
                         row=_uneven_row(text, separator, quote),
                         fix="mend that row, or use the separator that the file has") from error  # fmt: skip
    require_columns(path, frame.columns, columns)
    frame = frame.select(columns).with_row_index(ROW, offset=2).cast({ROW: pl.Int64})
    return frame.filter(~pl.all_horizontal(pl.col(columns).is_null())) if columns else frame


def require_columns(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises `InputError` naming the first wanted column that the file does not have."""
    for column in wanted:
        if column not in found:
            raise InputError(f"there is no such column; the file has {', '.join(found)}", file=path, row=1,
                             column=column, fix="add or rename it, or name the column to use")  # fmt: skip


def _uneven_row(text: str, separator: str, quote: str | None) -> int:
    """The first row with too many fields, or else the last one, where a quote that is never closed begins."""
    quoting: Literal[0, 3] = csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text), delimiter=separator, quotechar=quote, quoting=quoting)
    widths = []
    try:
        for fields in reader:
            widths.append(len(fields))
    except csv.Error:  # such a quote swallowed more than the reader holds
        return len(widths) + 1
    return next((row for row, width in enumerate(widths, 1) if width > widths[0]), len(widths))


def require_values(frame: pl.DataFrame, path: Path, columns: Sequence[str]) -> None:
    """Raises `InputError` naming the first row where one of the columns is empty."""
    for column in columns:
        empty = frame[column].is_null() | (frame[column].str.strip_chars() == "")
        reject(frame, path, column, empty, "the value is missing", "fill it in, or remove the row")


def numbers(
    frame: pl.DataFrame, path: Path, column: str, *, low: float = -np.inf, high: float = np.inf
) -> pl.Series:
    """The column as Float64, every value finite and within [low, high].

    Raises:
        InputError: naming the first row whose value is missing, no number, not finite, or out of range.
    """
    require_values(frame, path, [column])
    values = frame[column].str.strip_chars().cast(pl.Float64, strict=False)
    reject(frame, path, column, values.is_null(), "{value!r} is not a number", "write a number such as 3.5")
    reject(frame, path, column, ~values.is_finite(), "{value!r} is not a finite number", "remove the row")
    reject(frame, path, column, values < low, f"{{value}} is below {low:g}", "correct or remove the row")
    reject(frame, path, column, values > high, f"{{value}} is above {high:g}", "correct or remove the row")
    return values


def require_known(frame: pl.DataFrame, path: Path, column: str, known: pl.Series, where: Path) -> None:
    """Raises `InputError` naming the first row whose id is not in `known`, the ids in the file `where`."""
    unknown = ~frame[column].is_in(known.to_list())
    fix = f"add it to {where}, or remove the row"
    reject(frame, path, column, unknown, f"{{value!r}} is not listed in {where.name}", fix)


def require_unique(frame: pl.DataFrame, path: Path, column: str) -> None:
    """Raises `InputError` naming the first row that repeats an earlier row's id."""
    repeated = ~frame[column].is_first_distinct()
    reject(frame, path, column, repeated, "{value!r} is listed twice", "keep one of the rows")


def reject(frame: pl.DataFrame, path: Path, column: str, bad: pl.Series, problem: str, fix: str) -> None:
    """Raises `InputError` for the first row where `bad` is true; `{value}` in `problem` becomes its value."""
    first = bad.arg_max() if bad.any() else None
    if first is not None:
        problem = problem.format(value=frame[column][first])
        raise InputError(problem, file=path, row=frame[ROW][first], column=column, fix=fix)


def read_matrix(path: Path, *, low: float, high: float) -> Float[np.ndarray, "rows columns"]:
    """A whitespace-separated matrix without a header, float64, every value within [low, high].

    Raises:
        InputError: naming row and column (both from 1) of a value that is no number or out of range, or the
            row whose width differs from the first row's.
    """
    lines = [line.split() for line in read_text(path).splitlines()]
    rows = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not rows:
        raise InputError("the file is empty", file=path, fix="give a matrix of numbers")
    width = len(rows[0][1])
    for number, line in rows:
        if len(line) != width:
            raise InputError(f"{len(line)} values where the first row has {width}", file=path, row=number,
                             fix="give every row as many values; the file may be truncated")  # fmt: skip
    matrix = np.array([[_number(value) for value in line] for _, line in rows])
    bad = np.argwhere(~((matrix >= low) & (matrix <= high)))
    if len(bad):
        row, column = bad[0]
        number, line = rows[row]
        raise InputError(f"{line[column]!r} is not a number from {low:g} to {high:g}", file=path, row=number,
                         column=str(column + 1), fix="correct the value")  # fmt: skip
    return matrix


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return np.nan
