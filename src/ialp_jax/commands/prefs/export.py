"""Writes a table's judgements as one CSV, Parquet or JSON Lines file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import tyro
from rich.console import Console

from ialp_jax.artifacts import InputError, atomic_path
from ialp_jax.command_line import read
from ialp_jax.commands.prefs.evaluate import dataset_of
from ialp_jax.folders import require_writable_file
from ialp_jax.preferences.job.judged_pairs import asked_pairs
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.table import PreferenceTable

WRITERS: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    ".csv": pl.DataFrame.write_csv,
    ".parquet": pl.DataFrame.write_parquet,
    ".jsonl": pl.DataFrame.write_ndjson,
}


@dataclass(frozen=True)
class Export:
    """Writes one row per pair: user and item (raw ids where the logs are known, else numbers), text, score,
    label mass and raw answer. Rejected pairs have no score."""

    directory: tyro.conf.Positional[Path]
    """Folder of the table."""
    file: tyro.conf.Positional[Path]
    """Where to write; .csv, .parquet or .jsonl."""
    data: Path | None = None
    """Folder of the logs, if they lie elsewhere now."""


def run(arguments: Sequence[str]) -> None:
    """Writes the file and says how many rows it has."""
    asked = read(Export, arguments, "ialp prefs export")
    write = WRITERS.get(asked.file.suffix)
    if write is None:
        raise InputError(f"there is no format {asked.file.suffix!r}", file=asked.file,
                         fix=f"end the name in one of {', '.join(WRITERS)}")  # fmt: skip
    require_writable_file(asked.file, "FILE")
    rows = judgements(asked.directory, asked.data)
    with atomic_path(asked.file) as temporary:
        write(rows, temporary)
    Console().print(f"{asked.file}: {rows.height:,} pairs", highlight=False, markup=False, soft_wrap=True)


def judgements(directory: Path, data: Path | None = None) -> pl.DataFrame:
    """All pairs of a finished table: user and item String, text String, score and label_mass Float, raw String.

    Raises:
        InputError: if the table is not finished, has no requests, or its logs are not where they were.
    """
    table = PreferenceTable.load(directory)
    requests = Requests.load(directory / FOLDER)
    pairs = asked_pairs(directory)
    users, items = pairs["user"], pairs["item"]
    if requests.logs:
        dataset = dataset_of(directory, data, table.dataset)
        users, items = dataset.users["raw_id"].gather(users), dataset.items["raw_id"].gather(items)
    return pairs.select(
        user=users.cast(pl.String), item=items.cast(pl.String),
        text=pl.Series(requests.item_texts).gather(pairs["item"]),
        score="score", label_mass="mass", raw="raw",
    )  # fmt: skip
