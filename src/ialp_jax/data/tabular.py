"""Bring your own logs: one table of interactions and one of items, columns named by settings."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig, RawLogs, build
from ialp_jax.data.dataset import Dataset, Domain, Feedback
from ialp_jax.data.delimited import require_columns
from ialp_jax.data.frames import read_frame
from ialp_jax.data.ids import checked_ids, floats_as_text
from ialp_jax.data.reading import (
    ROW,
    numbers,
    read_table,
    require_known,
    require_unique,
    require_values,
)
from ialp_jax.data.times import sortable_times
from ialp_jax.data.validate import require_scale
from ialp_jax.values import checked

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".dat": "\t"}


@dataclass(frozen=True)
@checked
class TabularConfig:
    """Files and columns of your logs.

    Files are csv, tsv (both also .gz) or parquet; their paths are relative to the data folder.
    """

    interactions: Path = Path("interactions.csv")
    """One row per interaction."""
    items: Path = Path("items.csv")
    """One row per item."""
    user: str = "user"
    """Column of the interactions: the user's id."""
    item: str = "item"
    """Column of the interactions: the item's id."""
    value: str | None = None
    """Column of the interactions: hours, plays or rating. None: every row counts as one use."""
    time: str | None = None
    """Column of the interactions: a number, or a date such as 2024-05-01 12:00:00. None: order unknown."""
    item_id: str = "item"
    """Column of the items: the item's id."""
    title: str = "title"
    """Column of the items: what people call it."""
    text: tuple[str, ...] = ()
    """Columns of the items that describe it; joined with ", "."""
    categories: str | None = None
    """Column of the items: its categories. None: it has none."""
    category_separator: str = "|"
    """Between the categories of an item."""
    feedback: Feedback = "implicit"
    """implicit: hours or plays, higher is more. explicit: ratings within `rating_range`."""
    rating_range: tuple[float, float] = (1.0, 5.0)
    """Lowest and highest rating; explicit feedback only."""
    domain: Domain = "generic"
    """What the items are; chooses the words of prompts and reports."""
    name: str = "tabular"
    """What reports call the data."""


def load(directory: Path, config: DataConfig, tables: TabularConfig | None = None) -> Dataset:
    """Reads the tables that `tables` names.

    Quotes mean something in csv (fields may hold commas), nothing in tsv.

    Raises:
        InputError: naming file, row and column of what cannot be used.
    """
    tables = tables or TabularConfig()
    explicit = tables.feedback == "explicit"
    if explicit and tables.value is None:
        raise InputError(
            "explicit feedback needs a column of ratings", column="value", fix="name it with value"
        )
    require_scale(tables.rating_range)
    items_file, logs_file = directory / tables.items, directory / tables.interactions
    items = _items(items_file, tables)
    wanted = [
        column for column in (tables.user, tables.item, tables.value, tables.time) if column is not None
    ]
    ids = [tables.user, tables.item]
    logs = checked_ids(_read(logs_file, wanted, ids, single_lines=True), logs_file, ids)
    require_known(logs, logs_file, tables.item, items["raw_id"], items_file, _separator(items_file) == ",")
    low, high = tables.rating_range if explicit else (0.0, float("inf"))
    value = (
        pl.lit(1.0) if tables.value is None else numbers(logs, logs_file, tables.value, low=low, high=high)
    )
    times = {} if tables.time is None else {"time": sortable_times(logs, logs_file, tables.time)}
    return build(
        RawLogs(
            name=tables.name,
            source="logs",
            domain=tables.domain,
            feedback=tables.feedback,
            rating_range=tables.rating_range if explicit else (0.0, 1.0),
            unit="ratings" if explicit else (tables.value or "uses"),
            file=logs_file,
            interactions=logs.select(ROW, user=tables.user, item=tables.item, value=value, **times),
            items=items,
            statements=(f"Real logs: {logs_file.name}, as given.",),
        ),
        config,
    )


def _read(path: Path, columns: list[str], ids: list[str], single_lines: bool = False) -> pl.DataFrame:
    """The columns, of which some are ids, as text and with `ROW`, from whatever the file's name says it is."""
    columns = list(dict.fromkeys(columns))
    separator = _separator(path)
    if separator is None:
        return _read_parquet(path, columns, ids)
    quote = '"' if separator == "," else None
    return read_table(path, columns, separator=separator, quote=quote, single_lines=single_lines)


def _separator(path: Path) -> str | None:
    """What the file's name says is between fields; None for parquet."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix == path.suffix == ".parquet":
        return None
    if suffix not in SEPARATORS:
        raise InputError(f"the kind of file {path.suffix!r} is not known", file=path,
                         fix=f"name it {', '.join(SEPARATORS)} (also .gz) or .parquet")  # fmt: skip
    return SEPARATORS[suffix]


def _read_parquet(path: Path, columns: list[str], ids: list[str]) -> pl.DataFrame:
    frame = read_frame(path)
    require_columns(path, frame.columns, columns)
    numbered = frame.select(columns).with_row_index(ROW, offset=1).cast({ROW: pl.Int64})
    try:
        return floats_as_text(numbered, path, ids).cast(dict.fromkeys(columns, pl.String))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"a column is not text ({error})", file=path,
                         column=", ".join(columns), fix="store lists as joined text") from error  # fmt: skip


def _items(path: Path, tables: TabularConfig) -> pl.DataFrame:
    category = [] if tables.categories is None else [tables.categories]
    items = _read(path, [tables.item_id, tables.title, *tables.text, *category], [tables.item_id])
    items = checked_ids(items, path, [tables.item_id])
    require_values(items, path, [tables.title])
    require_unique(items, path, tables.item_id)
    text = pl.concat_str(tables.text, separator=", ", ignore_nulls=True) if tables.text else pl.lit("")
    cells: list[str | None] = (
        [None] * items.height if tables.categories is None else items[tables.categories].to_list()
    )
    words = [[word.strip() for word in (cell or "").split(tables.category_separator)] for cell in cells]
    categories = pl.Series([[word for word in row if word] for row in words], dtype=pl.List(pl.String))
    return items.select(
        raw_id=tables.item_id, title=tables.title, text=text.fill_null(""), categories=categories
    )  # fmt: skip
