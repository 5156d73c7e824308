"""Rows are those an editor shows, and what is wrong with separators, quotes and commas is said where it is."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig
from ialp_jax.data.reading import numbers, read_table
from ialp_jax.data.tabular import TabularConfig, load

FAST = settings(max_examples=60, deadline=None)
CELLS = st.text(alphabet='ab1",\n ', max_size=5)


def table(path, text, **settings):
    path.write_bytes(text.encode())
    return read_table(path, ["a", "b"], separator=",", quote='"', **settings)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "table.csv"


@FAST
@given(st.lists(st.tuples(CELLS, CELLS), max_size=6), st.sampled_from(["\n", "\r\n"]), st.integers(0, 2))
def test_quoted_fields_keep_their_rows(file, rows, end, blank_lines):
    written, first = io.StringIO(end * blank_lines), []
    writer = csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL)
    written.seek(0, io.SEEK_END)
    writer.writerow("ab")
    for row in rows:
        first.append(written.getvalue().count("\n") + 1)
        writer.writerow(row)
    assert table(file, written.getvalue()).rows() == [
        (place, *row) for place, row in zip(first, rows, strict=True)
    ]


@FAST
@given(st.text(alphabet='ab1",,;\t\n\n\r ', max_size=40))
def test_garbled_tables_are_read_or_refused(file, text):
    for settings_ in ({}, {"single_lines": True}):
        try:
            table(file, "a,b\n" + text, **settings_)
        except InputError as error:
            assert error.file == file


@pytest.mark.parametrize(
    ("text", "row", "problem"),
    [
        ('a,b\n1,"two\nlines"\n3,7" Single\n4,x\n', 4, "a quote inside a field that does not begin with one"),
        ('a,b\n1,x\n3,7" Single\n4,12" mix\n5,x\n', 3, "a quote inside a field that does not begin with one"),
        ('a,b\n1,x\n3,"open\n4,x\n5,"Two, and three"\n', 3, "not closed before the next one, in row 5"),
        ('a,b\n1,x\n3,"he said ""open\n4,x\n', 3, "never closed"),
        ('a,b\n1,"two\nlines"\n3,76,4\n', 4, r"more fields \(3\) than the header names \(2\)"),
        ('a,b\n1,"x" y\n', 2, "text after a closing quote"),
        ("a;b\n1;2,5\n", 1, "separated by semicolons, not by commas"),
        ("a\tb\n1\t2\n", 1, "separated by tabs, not by commas"),
        ("a,b,a\n1,2,3\n", 1, "2 columns have this name"),
        ("\n\n", None, "the file is empty"),
        ("a,b\r1,2\r3,4\r", 1, "lines end in carriage returns alone"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(file, text, row, problem):
    with pytest.raises(InputError, match=problem) as raised:
        table(file, text)
    assert raised.value.row == row


def test_a_column_that_nobody_reads_may_be_named_twice(file):
    assert table(file, "a,b,c,c\n1,2,3,4\n").rows() == [(2, "1", "2")]


def test_quotes_in_a_line_of_their_own_are_text(file):
    assert table(file, 'a,b\n1,The "Best" Game\n').rows() == [(2, "1", 'The "Best" Game')]


@pytest.mark.parametrize("value", ["76,4", "-1,5", "1,234"])
def test_a_decimal_comma_is_named(file, value):
    frame = table(file, f'a,b\nx,1\nx,"{value}"\n')
    with pytest.raises(InputError, match=f"row 3, column b: '{value}' has a comma. Fix: write a point"):
        numbers(frame, file, "b")


LOGS = "user,item,note\nu,1,x\nu,2,x\nv,1,x\nv,2,x\n"
ITEMS = "item,title\n1,One\n2,Two\n3,Three\n"
TABLES = TabularConfig(interactions=Path("logs.csv"))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("logs.csv", LOGS.replace("u,2,x\nv,1,x", 'u,2,"x\nv,1,x"'),
         r"logs\.csv, row 3: .*closed in row 4.*must not hold line breaks"),
        ("items.csv", ITEMS.replace("One\n2,Two", '"One\n2,Two"'),
         r"items\.csv, row 2: .*closed in row 3, and so row 3, '2', is not read"),
        ("items.csv", ITEMS.replace("2,Two", "5,Two"), r"logs\.csv, row 3, column item: '2' is not listed"),
    ],
)  # fmt: skip
def test_rows_do_not_vanish_between_quotes(tmp_path, file, text, message):
    for name, content in {"logs.csv": LOGS, "items.csv": ITEMS, file: text}.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path, DataConfig(k_core=1), TABLES)


def test_titles_may_have_two_lines(tmp_path):
    (tmp_path / "logs.csv").write_text(LOGS)
    (tmp_path / "items.csv").write_text(ITEMS.replace("One", '"One\nand more"'))
    dataset = load(tmp_path, DataConfig(k_core=1), TABLES)
    assert dataset.items["title"].to_list() == ["One\nand more", "Two"]
    assert dataset.num_interactions == 4


def test_names_of_files_are_text(tmp_path):
    (tmp_path / "logs.csv").write_text(LOGS)
    (tmp_path / "{x}.csv").write_text(ITEMS.replace("2,Two", "5,Two"))
    with pytest.raises(InputError, match=r"'2' is not listed in \{x\}\.csv"):
        load(
            tmp_path,
            DataConfig(k_core=1),
            TabularConfig(interactions=Path("logs.csv"), items=Path("{x}.csv")),
        )
