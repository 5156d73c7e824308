"""Reads tables and matrices people bring, so that whatever is wrong is named by file, row and column.

Row numbers count from 1 and include the header, as an editor shows them (parquet: the record).
Everything is read as text first: only then can a bad value be quoted together with its place.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.data.delimited import Layout, line_count, require_header

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
    single_lines: bool = False,
) -> pl.DataFrame:
    """The named columns of a delimited text file with a header line, plus `ROW` (Int64), its place there.

    Args:
        path: the file; `.gz` is unpacked.
        columns: columns to return; others are ignored.
        separator: between fields.
        quote: character around fields that hold separators or line ends; None if quotes mean nothing.
        encoding: of the bytes.
        single_lines: whether every record must be one line, so that no quote can swallow rows.

    Returns:
        String columns (null where a field is empty) and `ROW`; blank lines are left out.

    Raises:
        InputError: everything `read_text` and `require_header` raise, a row with too many fields, a quote that begins no
            field or is not closed, and a record of several lines where `single_lines` forbids it.
    """
    text = read_text(path, encoding)
    require_header(path, text, columns, separator, quote)
    try:
        frame = pl.read_csv(io.StringIO(text), separator=separator, quote_char=quote, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise Layout(path, text, separator, quote).malformed(error) from error
    rows: pl.Series | pl.Expr = pl.int_range(2, pl.len() + 2)
    if line_count(text) != frame.height + 1:
        layout = Layout(path, text, separator, quote)
        layout.require_closed()
        if single_lines:
            layout.require_single_lines()
        rows = pl.Series([record.first for record in layout.records])
    frame = frame.select(rows.cast(pl.Int64).alias(ROW), *columns)
    return frame.filter(~pl.all_horizontal(pl.col(columns).is_null())) if columns else frame


def require_values(frame: pl.DataFrame, path: Path, columns: Sequence[str]) -> None:
    """Raises `InputError` naming the first row where one of the columns is empty."""
    for column in columns:
        empty = frame[column].is_null() | (frame[column].str.strip_chars() == "")
        reject(frame, path, column, empty, lambda _: "the value is missing", "fill it in, or remove the row")


def numbers(
    frame: pl.DataFrame, path: Path, column: str, *, low: float = -np.inf, high: float = np.inf
) -> pl.Series:
    """The column as Float64, every value finite and within [low, high].

    Raises:
        InputError: naming the first row whose value is missing, no number, not finite, or out of range.
    """
    require_values(frame, path, [column])
    values = frame[column].str.strip_chars().cast(pl.Float64, strict=False)
    if values.null_count():
        comma = frame[column].str.contains(r"^\s*[+-]?\d+,\d+\s*$")
        reject(frame, path, column, comma, lambda value: f"{value!r} has a comma",
               "write a point before decimals, and nothing between thousands")  # fmt: skip
        reject(frame, path, column, values.is_null(), lambda value: f"{value!r} is not a number",
               "write a number such as 3.5")  # fmt: skip
    reject(frame, path, column, ~values.is_finite(), lambda value: f"{value!r} is not a finite number",
           "remove the row")  # fmt: skip
    reject(frame, path, column, values < low, lambda value: f"{value} is below {low:g}", "correct or remove the row")  # fmt: skip
    reject(frame, path, column, values > high, lambda value: f"{value} is above {high:g}", "correct or remove the row")  # fmt: skip
    return values


def require_known(
    frame: pl.DataFrame, path: Path, column: str, known: pl.Series, where: Path, quoted: bool = False
) -> None:
    """Raises `InputError` naming the first row whose id is not in `known`, the ids in the file `where`.

    `quoted` says that `where` is a csv file, in which a quote that is closed too late may have swallowed the id's own row.
    """
    unknown = ~frame[column].is_in(known.to_list())
    if quoted and unknown.any():
        _require_unswallowed(where, str(frame[column][int(unknown.arg_max() or 0)]))
    fix = f"add it to {where}, or remove the row"
    reject(frame, path, column, unknown, lambda value: f"{value!r} is not listed in {where.name}", fix)


def _require_unswallowed(path: Path, name: str) -> None:
    swallowed = Layout(path, read_text(path), ",", '"').row_between_quotes(name)
    if swallowed is not None:
        row, (first, last) = swallowed
        raise InputError(f"a quote that begins here is closed in row {last}, and so row {row}, {name!r}, is not read",
                         file=path, row=first, fix="close it in its own row")  # fmt: skip


def require_unique(frame: pl.DataFrame, path: Path, column: str) -> None:
    """Raises `InputError` naming the first row that repeats an earlier row's id."""
    repeated = ~frame[column].is_first_distinct()
    reject(frame, path, column, repeated, lambda value: f"{value!r} is listed twice", "keep one of the rows")


def reject(
    frame: pl.DataFrame, path: Path, column: str, bad: pl.Series, problem: Callable[[Any], str], fix: str
) -> None:
    """Raises `InputError` for the first row where `bad` is true; `problem` makes a sentence of its value."""
    first = bad.arg_max() if bad.any() else None
    if first is not None:
        raise InputError(
            problem(frame[column][first]), file=path, row=frame[ROW][first], column=column, fix=fix
        )


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
