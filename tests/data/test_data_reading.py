import gzip

import numpy as np
import polars as pl
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.data.reading import numbers, read_matrix, read_table, read_text


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.tsv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_rows_are_those_an_editor_shows(write):
    path = write("a\tb\n1\t2\n\n3\t4\n\n")
    assert read_table(path, ["b", "a"]).rows() == [(2, "2", "1"), (4, "4", "3")]


def test_windows_lines_byte_order_marks_and_quotes_in_tsv(write):
    assert read_table(write(b'\xef\xbb\xbfa\tb\r\n1\t"x\r\n'), ["a", "b"]).rows() == [(2, "1", '"x')]


def test_quoted_csv_fields_hold_separators(write):
    path = write('a,b\n1,"x, y"\n', "table.csv")
    assert read_table(path, ["b"], separator=",", quote='"').rows() == [(2, "x, y")]


def test_gzip_is_unpacked(write):
    path = write(gzip.compress(b"a\n1\n", mtime=0), "table.tsv.gz")
    assert read_table(path, ["a"]).rows() == [(2, "1")]


def test_other_encodings_when_asked(write):
    assert read_text(write("Jos\xe9".encode("latin-1")), "latin-1") == "Jos\xe9"


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            gzip.compress(b"a\n1\n" * 500, mtime=0)[:-20],
            "table.tsv.gz",
            r"table\.tsv\.gz: truncated or damaged gzip.*copy",
        ),
        (b"a\n1\n", "table.tsv.gz", r"truncated or damaged gzip"),
        (b"a\nx\nJos\xe9\n", "table.tsv", r"table\.tsv, row 3: byte 0xe9 is not UTF-8.*iconv"),
        (b"", "table.tsv", r"table\.tsv: the file is empty"),
        (b"b\tc\n1\t2\n", "table.tsv", r"row 1, column a: there is no such column; the file has b, c"),
        (b"a\n1\n2\t3\n", "table.tsv", r"table\.tsv, row 3: more fields"),
    ],
)
def test_a_bad_file_gets_one_error_with_the_place(write, content, name, message):
    with pytest.raises(InputError, match=message):
        read_table(write(content, name), ["a"])


def test_a_quote_never_closed_is_found(write):
    for rest in ("5,6\n", "5,6\n" * 50_000):
        with pytest.raises(InputError, match=r"row 3: .*never closed"):
            read_table(write(f'a,b\n1,2\n3,"4\n{rest}', "table.csv"), ["a"], separator=",", quote='"')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.tsv: the file does not exist"):
        read_table(tmp_path / "absent.tsv", ["a"])
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path, ["a"])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("many", "row 3, column hours: 'many' is not a number"),
        ("nan", "row 3, column hours: 'nan' is not a finite number"),
        ("inf", "row 3, column hours: 'inf' is not a finite number"),
        ("-1", "row 3, column hours: -1 is below 0"),
        ("11", "row 3, column hours: 11 is above 10"),
        ("", "row 3, column hours: the value is missing"),
    ],
)
def test_a_bad_number_is_quoted_with_its_place(write, cell, message):
    path = write(f"user\thours\na\t 2.5\nb\t{cell}\n")
    with pytest.raises(InputError, match=message):
        numbers(read_table(path, ["user", "hours"]), path, "hours", low=0, high=10)


def test_good_numbers_pass(write):
    path = write("hours\n 2.5\n1e1\n0\n")
    assert numbers(read_table(path, ["hours"]), path, "hours", low=0, high=10).equals(
        pl.Series([2.5, 10.0, 0.0])
    )


def test_matrices(write):
    np.testing.assert_array_equal(read_matrix(write("1 2\n3 4.5\n"), low=1, high=5), [[1, 2], [3, 4.5]])
    for content, message in (
        ("1 2\n3\n", "row 2: 1 values where the first row has 2"),
        ("1 2\n3 x\n", "row 2, column 2: 'x' is not a number from 1 to 5"),
        ("1 2\n6 3\n", "row 2, column 1: '6' is not a number from 1 to 5"),
        ("1 nan\n", "row 1, column 2: 'nan' is not a number"),
        ("\n", "the file is empty"),
    ):
        with pytest.raises(InputError, match=message):
            read_matrix(write(content), low=1, high=5)
