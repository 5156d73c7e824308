"""Whatever a folder of logs holds, readers make a dataset of it or name what is wrong: nothing else is raised."""

import gzip
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.data import coat, lfm, steam, tabular
from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import Dataset

FAST = settings(max_examples=25, deadline=None)
ALL = DataConfig(k_core=1)
TABLES = tabular.TabularConfig(
    interactions=Path("logs.csv"), value="value", time="time", text=("text",), categories="text"
)
EXPLICIT = tabular.TabularConfig(**{**TABLES.__dict__, "feedback": "explicit", "rating_range": (0.0, 5.0)})
PARQUET = tabular.TabularConfig(
    **{**TABLES.__dict__, "interactions": Path("logs.parquet"), "items": Path("items.parquet")}
)
SOUND = {
    "steam": {
        "items.tsv": "item_id\ttitle\tgenres\ttags\n1\tOne\ta|b\tc\n2\tTwo\t\t\n",
        "play.tsv": "user\titem\thours\nu\t1\t2.5\nu\t2\t1\nv\t1\t9\nv\t2\t0.1\n",
    },
    "lfm": {
        "artists.dat": "id\tname\n1\tOne\n2\tTwo\n",
        "tags.dat": "tagID\ttagValue\n1\trock\n",
        "user_taggedartists.dat": "userID\tartistID\ttagID\n5\t1\t1\n",
        "user_artists.dat": "userID\tartistID\tweight\n5\t1\t10\n5\t2\t3\n6\t1\t2\n6\t2\t40\n",
    },
    "coat": {
        "train.ascii": "0 5 1\n3 0 2\n",
        "coat_pseudoGT_ratingM.ascii": "1 2 3\n4 5 1\n",
        "item_features.ascii": "1 0 1\n0 1 1\n0 1 1\n",
        "item_features_map.txt": "gender:men\ngender:women\njackettype:parkas",
        "user_features.ascii": "1\n1\n",
        "user_features_map.txt": "gender:men",
    },
    "csv": {
        "logs.csv": 'user,item,value,time\nu,1,2.5,1\nu,2,1,2\nv,1,"3",3\nv,2,0,4\n',
        "items.csv": 'item,title,text\n1,"One, again",a\n2,Two,b|c\n',
    },
}
READERS = {
    "steam": [steam.load],
    "lfm": [lfm.load],
    "coat": [coat.load],
    "csv": [partial(tabular.load, tables=tables) for tables in (TABLES, EXPLICIT)],
}
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(["\t", ",", ";", "\n", "\r\n", '"', "|", " ", "nan", "-1", "1e400", "\x00", "{x}", "[b]"]).map(
        str.encode
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("garbled")


def read(loads, folder):
    """Every reader gives a dataset, or one error with a fix."""
    for load in loads:
        try:
            assert isinstance(load(folder, ALL), Dataset)
        except InputError as error:
            assert str(error)


@pytest.mark.parametrize("source", SOUND)
def test_sound_files_are_read(source, folder):
    for name, text in SOUND[source].items():
        (folder / name).write_text(text)
    for load in READERS[source]:
        assert load(folder, ALL).num_users == 2


@pytest.mark.parametrize("source", SOUND)
@FAST
@given(data=st.data())
def test_garbled_files_are_read_or_refused(source, folder, data):
    files = {name: text.encode() for name, text in SOUND[source].items()}
    name = data.draw(st.sampled_from(sorted(files)))
    whole = files[name]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(start + 8, len(whole))))
    files[name] = whole[:start] + data.draw(PIECES) + whole[end:]
    for other, content in files.items():
        (folder / other).write_bytes(content)
    read(READERS[source], folder)


@FAST
@given(st.binary(max_size=60), st.booleans())
def test_files_of_any_bytes_are_refused(folder, content, packed):
    for name in ("logs.csv", "logs.parquet", "logs.csv.gz"):
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
        (folder / "items.csv").write_text(SOUND["csv"]["items.csv"])
        tables = tabular.TabularConfig(**{**TABLES.__dict__, "interactions": Path(name)})
        with pytest.raises(InputError):
            tabular.load(folder, ALL, tables)


NUMBERS = st.sampled_from([0, 1, 2, -1, 2**24, 2**53, 1e300, float("nan"), float("inf"), 0.5, None])
COLUMNS = st.one_of(
    st.tuples(st.just(pl.Float64), st.lists(NUMBERS, min_size=4, max_size=4)),
    st.tuples(st.just(pl.Float32), st.lists(NUMBERS, min_size=4, max_size=4)),
    st.tuples(
        st.sampled_from(
            [pl.Int8, pl.UInt64, pl.Boolean, pl.Decimal(20, 3), pl.Date, pl.Time, pl.Duration, pl.Datetime("ns"), pl.Null,
             pl.Categorical, pl.List(pl.Int64), pl.Struct({"a": pl.Int64}), pl.Binary, pl.String]
        ),
        st.just([1, 2, 1, 2]),
    ),
)  # fmt: skip


@settings(FAST, max_examples=60)
@given(st.fixed_dictionaries(dict.fromkeys(("user", "item", "value", "time"), COLUMNS)), COLUMNS, COLUMNS)
def test_parquet_columns_of_any_type_are_read_or_refused(folder, logs, ids, titles):
    def series(dtype, values):
        if dtype in (pl.String, pl.Categorical):
            return pl.Series([str(value) for value in values]).cast(dtype)
        if dtype == pl.Binary:
            return pl.Series([b"\xff\xfe", b"1", b"1", b"2"])
        if dtype in (pl.List(pl.Int64), pl.Struct({"a": pl.Int64})):
            return pl.Series([[value] if dtype == pl.List(pl.Int64) else {"a": value} for value in values])
        if dtype == pl.Null:
            return pl.Series([None] * len(values))
        return pl.Series(values, strict=False).cast(dtype, strict=False)

    pl.DataFrame({name: series(*column) for name, column in logs.items()}).write_parquet(
        folder / "logs.parquet"
    )
    items = {name: series(dtype, values[:2]) for name, (dtype, values) in (("item", ids), ("title", titles))}
    items["text"] = pl.Series(["a", "b"])
    pl.DataFrame({name: column.head(2) for name, column in items.items()}).write_parquet(
        folder / "items.parquet"
    )
    read([partial(tabular.load, tables=PARQUET)], folder)
