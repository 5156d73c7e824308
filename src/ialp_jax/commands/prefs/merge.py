"""Merges parts of one job, or tables of one judge, into a new table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from ialp_jax.command_line import read
from ialp_jax.folders import require_writable
from ialp_jax.preferences.job.merge import merge_tables


@dataclass(frozen=True)
class Merge:
    """Merges parts of one job judged on several machines, or tables of one judge about other users or items."""

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """Folders to merge, two or more."""
    out: Path
    """Folder of the result; it must be new."""


def run(arguments: Sequence[str]) -> None:
    """Merges and says what came out."""
    asked = read(Merge, arguments, "ialp prefs merge")
    require_writable(asked.out, "--out")
    table = merge_tables(asked.sources, asked.out)
    Console().print(f"{asked.out}: {table.num_states:,} users, {table.num_judgements:,} judged pairs, "
                    f"{table.rejected:,} rejected", highlight=False, markup=False)  # fmt: skip
