import gzip
from pathlib import Path

import polars as pl
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig
from ialp_jax.data.tabular import TabularConfig, load

ALL = DataConfig(k_core=1)
ITEMS = 'movieId,name,plot,kind\n10,"One, again",sea,Drama|War\n20,Two,,\n'
LOGS = (
    "who,movieId,stars,when\na,10,5,2024-01-02 10:00:00\na,20,1,2024-01-01\n"
    "b,10,3,2024-01-01\nb,20,4,2024-01-02\n"
)
TABLES = TabularConfig(
    user="who",
    item="movieId",
    value="stars",
    time="when",
    item_id="movieId",
    title="name",
    text=("plot", "kind"),
    categories="kind",
    feedback="explicit",
    domain="movies",
)


def change(**settings):
    return TabularConfig(**{**TABLES.__dict__, **settings})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "interactions.csv").write_text(LOGS)
    return tmp_path


def test_explicit_ratings_ordered_by_date(folder):
    dataset = load(folder, ALL, TABLES)
    assert dataset.items["title"].to_list() == ["One, again", "Two"]
    assert dataset.items["text"].to_list() == ["sea, Drama|War", ""]
    assert dataset.items["categories"].to_list() == [["Drama", "War"], []]
    rows = dataset.interactions.select("user", "item", "grade", "position").rows()
    assert rows == [(0, 1, 0.0, 0), (0, 0, 1.0, 1), (1, 0, 0.5, 0), (1, 1, 0.75, 1)]
    assert any("ordered by time" in said for said in dataset.statements)


def test_kinds_of_files_read_alike(folder):
    expected = load(folder, ALL, TABLES).fingerprint
    logs, items = pl.read_csv(folder / "interactions.csv"), pl.read_csv(folder / "items.csv")
    logs.write_parquet(folder / "interactions.parquet")
    items.write_csv(folder / "items.tsv", separator="\t")
    (folder / "items.csv.gz").write_bytes(gzip.compress(ITEMS.encode()))
    for items_name in ("items.tsv", "items.csv.gz"):
        for logs_name in ("interactions.parquet", "interactions.csv"):
            dataset = load(folder, ALL, change(interactions=Path(logs_name), items=Path(items_name)))
            statements = dataset.statements[0]
            assert logs_name in statements
            if logs_name == "interactions.csv":
                assert dataset.fingerprint == expected
            assert dataset.interactions.equals(load(folder, ALL, TABLES).interactions)


def test_numbers_and_zoned_dates_are_times(folder):
    for first, second in (("7", "6.5"), ("2024-01-01T12:00:00+02:00", "2024-01-01T09:59:00Z")):
        logs = f"who,movieId,stars,when\na,10,5,{first}\na,20,1,{second}\nb,10,3,{first}\nb,20,4,{second}\n"
        (folder / "interactions.csv").write_text(logs)
        assert load(folder, ALL, TABLES).interactions["item"].to_list() == [1, 0, 1, 0]


def test_without_a_value_rows_are_counted(folder):
    (folder / "interactions.csv").write_text(LOGS + "a,20,1,2024-01-05\n")
    dataset = load(folder, ALL, change(value=None, feedback="implicit", time=None))
    assert dataset.interactions.sort("user", "item")["value"].to_list() == [1, 2, 1, 1]
    assert dataset.rating_range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("b,10,3", "b,30,3", r"interactions\.csv, row 4, column movieId: '30' is not listed in items\.csv"),
        ("b,10,3", "b,10,6", r"row 4, column stars: 6 is above 5"),
        ("b,10,3", "b,10,x", r"row 4, column stars: 'x' is not a number"),
        ("b,10,3,2024-01-01", "b,10,3,soon", r"row 4, column when: 'soon' is not a time"),
        ("b,10,3,2024-01-01", "b,10,3,", r"row 4, column when: the value is missing"),
        (
            "stars",
            "rating",
            r"row 1, column stars: there is no such column; the file has who, movieId, rating, when",
        ),
    ],
)
def test_bad_logs_are_refused_with_the_place(folder, old, new, message):
    (folder / "interactions.csv").write_text(LOGS.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load(folder, ALL, TABLES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"value": None}, "column value: explicit feedback needs"),
        ({"rating_range": (5.0, 1.0)}, "column rating_range"),
        ({"items": Path("items.xlsx")}, "the kind of file '.xlsx' is not known"),
        ({"items": Path("absent.parquet")}, r"absent\.parquet: the file does not exist"),
        ({"items": Path("bad.parquet")}, r"bad\.parquet: not a readable parquet"),
        ({"items": Path("lists.parquet")}, r"lists\.parquet.*is not text"),
        ({"time": "stars", "user": "when", "title": "story"}, "column story: there is no such column"),
    ],
)
def test_bad_settings_and_files_are_refused(folder, settings, message):
    (folder / "bad.parquet").write_bytes(b"PAR1 not really")
    pl.DataFrame({"movieId": [[1]], "name": "x", "plot": "x", "kind": "x"}).write_parquet(
        folder / "lists.parquet"
    )
    with pytest.raises(InputError, match=message):
        load(folder, ALL, change(**settings))


def test_real_movielens(shared_data):
    tables = TabularConfig(
        interactions=Path("ratings.csv"),
        items=Path("movies.csv"),
        user="userId",
        item="movieId",
        value="rating",
        time="timestamp",
        item_id="movieId",
        text=("genres",),
        categories="genres",
        feedback="explicit",
        rating_range=(0.5, 5.0),
        domain="movies",
    )
    dataset = load(shared_data / "ml-latest-small", ALL, tables)
    assert (dataset.num_users, dataset.num_items, dataset.num_interactions) == (610, 9724, 100836)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ("1600000000 1600000060 1600000000000 1600000120", "row 4, column when: 1600000000000 counts milliseconds since 1970, most times here seconds"),
        ("1.6e9 1.6e18 1.6e18 0", "row 2, column when: 1.6e9 counts seconds since 1970, most times here nanoseconds"),
        ("1600000000 20000000000 1600000000000 7", None),
        ("1 2 3 1000", None),
    ],
)  # fmt: skip
def test_one_column_of_times_has_one_unit(folder, times, message):
    rows = zip(["a10", "a20", "b10", "b20"], times.split(), strict=True)
    logs = "".join(f"{row[0]},{row[1:]},3,{time}\n" for row, time in rows)
    (folder / "interactions.csv").write_text("who,movieId,stars,when\n" + logs)
    if message is None:
        assert load(folder, ALL, change(feedback="implicit")).num_interactions == 4
    else:
        with pytest.raises(InputError, match=message):
            load(folder, ALL, TABLES)
