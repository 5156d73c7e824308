"""Steam: hours played per game, joined with titles, genres and tags (`items.tsv`, `play.tsv`)."""

import html
from pathlib import Path

import polars as pl

from ialp_jax.data.build import DataConfig, RawLogs, build
from ialp_jax.data.dataset import Dataset
from ialp_jax.data.ids import checked_ids
from ialp_jax.data.reading import ROW, numbers, read_table, require_known, require_unique, require_values


def load(directory: Path, config: DataConfig) -> Dataset:
    """Reads a folder with `items.tsv` (item_id, title, genres, tags) and `play.tsv` (user, item, hours).

    Genres and tags are '|'-separated and may be HTML-escaped. Text = genres and tags; categories = genres.

    Raises:
        InputError: naming file, row and column of what cannot be used.
    """
    items_file, play_file = directory / "items.tsv", directory / "play.tsv"
    items = read_table(items_file, ["item_id", "title", "genres", "tags"])
    items = checked_ids(items, items_file, ["item_id"])
    require_values(items, items_file, ["title"])
    require_unique(items, items_file, "item_id")
    play = checked_ids(read_table(play_file, ["user", "item", "hours"]), play_file, ["user", "item"])
    require_known(play, play_file, "item", items["item_id"], items_file)
    hours = numbers(play, play_file, "hours", low=0)
    return build(
        RawLogs(
            name="steam",
            source="logs",
            domain="games",
            feedback="implicit",
            rating_range=(0.0, 1.0),
            unit="hours",
            file=play_file,
            interactions=play.select("user", "item", ROW, value=hours),
            items=_describe(items),
            statements=("Real logs: hours that Steam users played each game.",),
        ),
        config,
    )


def _describe(items: pl.DataFrame) -> pl.DataFrame:
    genres = [_words(cell) for cell in items["genres"]]
    tags = [_words(cell) for cell in items["tags"]]
    text = [", ".join(dict.fromkeys(genre + tag)) for genre, tag in zip(genres, tags, strict=True)]
    return pl.DataFrame(
        {
            "raw_id": items["item_id"],
            "title": [html.unescape(title) for title in items["title"]],
            "text": text,
            "categories": pl.Series(genres, dtype=pl.List(pl.String)),
        }
    )


def _words(cell: str | None) -> list[str]:
    return [html.unescape(word).strip() for word in (cell or "").split("|") if word.strip()]
