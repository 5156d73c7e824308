"""Where the records of a delimited text lie, and which of its quotes are at fault: for rows as an editor counts them.

A line break ends a record unless an odd number of quotes stands before it; so polars reads it too.
"""

import csv
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from ialp_jax.artifacts import InputError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
LONGEST_HEADER = 100_000  # characters in which a header is looked for


class Rows(NamedTuple):
    """Lines of a file, from 1, that one record takes."""

    first: int
    last: int


def header_of(path: Path, text: str, separator: str, quote: str | None) -> list[str]:
    """The fields of the first line that is not blank; none where all are."""
    quoting: Literal[0, 3] = csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL
    start = io.StringIO(text[:LONGEST_HEADER])
    reader = csv.reader(start, delimiter=separator, quotechar=quote, quoting=quoting)
    try:
        return next((fields for fields in reader if fields), [])
    except csv.Error as error:  # of so short a text the only one
        raise InputError("lines end in carriage returns alone", file=path, row=1,
                         fix="save it with Unix or Windows line ends") from error  # fmt: skip


def require_header(path: Path, text: str, columns: Sequence[str], separator: str, quote: str | None) -> None:
    """Raises `InputError` for an empty file, other line ends or another separator than expected, a column that is missing or
    named twice."""
    names = header_of(path, text, separator, quote)
    if not names:
        raise InputError("the file is empty", file=path, fix=f"give a file with the columns {list(columns)}")
    for other, words in SEPARATORS.items():
        others = names if other == separator else header_of(path, text, other, quote)
        if len(set(columns) & set(others)) > len(set(columns) & set(names)):
            raise InputError(f"the fields are separated by {words}, not by {SEPARATORS[separator]}", file=path, row=1,
                             fix=f"write {SEPARATORS[separator]} between the fields, and points in decimal numbers")  # fmt: skip
    require_columns(path, names, columns)
    for column in columns:
        if names.count(column) > 1:
            raise InputError(f"{names.count(column)} columns have this name", file=path, row=1, column=column,
                             fix="rename or remove all but the one that is meant")  # fmt: skip


def require_columns(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises `InputError` naming the first wanted column that the file does not have."""
    for column in wanted:
        if column not in found:
            raise InputError(f"there is no such column; the file has {', '.join(found)}", file=path, row=1,
                             column=column, fix="add or rename it, or name the column to use")  # fmt: skip


def line_count(text: str) -> int:
    """Lines of a text; a last one need not end in a line break."""
    return text.count("\n") + (not text.endswith("\n"))


class Layout:
    """Lines, records and quotes of a text. Takes several times its memory: for what is at fault, or has long fields."""

    def __init__(self, path: Path, text: str, separator: str, quote: str | None) -> None:
        """Finds the quotes and line breaks.

        Args:
            path: of the file, for errors.
            text: what it holds.
            separator: between fields.
            quote: around fields; None if quotes mean nothing.
        """
        self._path = path
        self._content = np.frombuffer(text.encode(), np.uint8)
        self._separator, self._quote = ord(separator), None if quote is None else ord(quote)
        self._breaks = np.flatnonzero(self._content == ord("\n"))
        self._quotes = np.zeros(0, np.int64) if quote is None else np.flatnonzero(self._content == ord(quote))

    @cached_property
    def _starts(self) -> Int[np.ndarray, "records"]:
        """Where the header and every record after it begin; blank ones are records but before the header."""
        starts = np.append(0, self._breaks[~self._quoted(self._breaks)] + 1)
        starts = starts[starts < len(self._content)]
        blank = np.isin(self._content[starts], [ord("\n"), ord("\r")])
        return starts[int(np.argmin(blank)) :] if len(starts) else starts

    @cached_property
    def records(self) -> list[Rows]:
        """The rows of every record after the header."""
        ends = np.append(self._starts[1:], len(self._content)) - 1
        first, last = self._lines(self._starts), self._lines(ends)
        return [Rows(*rows) for rows in zip(first.tolist(), last.tolist(), strict=True)][1:]

    @property
    def long_records(self) -> list[Rows]:
        """The rows of the records that hold line breaks between quotes."""
        return [rows for rows in self.records if rows.last > rows.first]

    def require_closed(self) -> None:
        """Raises `InputError` for the first quote that begins no field, or is not closed, and so joins rows to one."""
        for opened, closed in self._pairs():
            first, last = self._row(opened), self._row(closed)
            if first == last and closed < len(self._content):
                continue
            begins = self._begin(opened)
            if not self._opens(begins):
                raise InputError("a quote inside a field that does not begin with one", file=self._path, row=self._row(begins),
                                 fix='put the field in quotes and write this quote twice: "7"" Single"')  # fmt: skip
            if closed == len(self._content):
                raise InputError("a quote that is never closed begins here", file=self._path, row=self._row(begins),
                                 fix="close it at the end of its field")  # fmt: skip
            if not self._closes(closed):
                raise InputError(f"a quote that begins here is not closed before the next one, in row {last}",
                                 file=self._path, row=self._row(begins), fix="close it at the end of its field")  # fmt: skip

    def require_single_lines(self) -> None:
        """Raises `InputError` for the first record with a line break between quotes."""
        for first, last in self.long_records:
            raise InputError(f"a quote that begins here is closed in row {last}, and what lies between is one field",
                             file=self._path, row=first,
                             fix="close it in its own row; a field of a log must not hold line breaks")  # fmt: skip

    def malformed(self, reason: Exception) -> InputError:
        """What is wrong with a text that could not be read as a table."""
        try:
            self.require_closed()
        except InputError as error:
            return error
        separators = np.flatnonzero(self._content == self._separator)
        separators = separators[~self._quoted(separators)]
        widths = np.diff(np.searchsorted(separators, np.append(self._starts, len(self._content)))) + 1
        wide = np.flatnonzero(widths > widths[0])
        if len(wide):
            row = self._row(self._starts[wide[0]])
            return InputError(f"more fields ({widths[wide[0]]}) than the header names ({widths[0]})", file=self._path, row=row,
                              fix="put fields that hold the separator in quotes, and write points in decimal numbers")  # fmt: skip
        for opened, closed in self._pairs():
            if self._opens(self._begin(opened)) and not self._closes(closed):
                return InputError("text after a closing quote", file=self._path, row=self._row(closed),
                                  fix='write a quote inside a field twice: "7"" Single"')  # fmt: skip
        return InputError(f"not readable as a table ({reason})", file=self._path, fix="write it again")

    def row_between_quotes(self, field: str) -> tuple[int, Rows] | None:
        """A row that has `field` as one of its own but is swallowed by a longer record, and that record's rows."""
        for rows in self.long_records:
            for row in range(rows.first + 1, rows.last + 1):
                start = self._breaks[row - 2] + 1
                end = self._breaks[row - 1] if row <= len(self._breaks) else len(self._content)
                fields = self._content[start:end].tobytes().decode().strip().split(chr(self._separator))
                if field in fields:
                    return row, rows
        return None

    def _quoted(self, places: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        return (np.searchsorted(self._quotes, places) & 1).astype(bool)

    def _lines(self, places: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        return np.searchsorted(self._breaks, places) + 1

    def _row(self, place: int) -> int:
        return int(self._lines(np.asarray([place]))[0])

    def _pairs(self) -> list[tuple[int, int]]:
        """Where quotes open and close, in turn; one that never closes does so behind the end."""
        places = np.append(self._quotes, [len(self._content)] * (len(self._quotes) % 2)).astype(np.int64)
        return [(opened, closed) for opened, closed in places.reshape(-1, 2).tolist()]

    def _begin(self, opened: int) -> int:
        """The quote with which the field began: two in a row within it stand for one."""
        number = int(np.searchsorted(self._quotes, opened))
        while number and self._quotes[number - 1] == self._quotes[number] - 1:
            number -= 2
        return int(self._quotes[number])

    def _opens(self, place: int) -> bool:
        return place == 0 or self._content[place - 1] in (self._separator, ord("\n"))

    def _closes(self, place: int) -> bool:
        after = self._content[place + 1] if place + 1 < len(self._content) else ord("\n")
        return after in (self._separator, ord("\n"), ord("\r"), self._quote)
