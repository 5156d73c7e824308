"""Recommends items with a trained policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import tyro
from rich.console import Console
from rich.table import Table

from ialp_jax.artifacts import InputError
from ialp_jax.command_line import read
from ialp_jax.policies.artifact import LoadedPolicy, load_policy
from ialp_jax.ranges import Count, Share
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class Recommend:
    """Recommends items to a user with a given history."""

    policy: tyro.conf.Positional[Path]
    """Folder of a policy, for example runs/steam/policy."""
    history: tuple[str, ...] = ()
    """Titles or raw ids of the items the user knows, most recent last."""
    feedback: tuple[Share, ...] = ()
    """How much they were liked, from 0 to 1; 1 if left out."""
    k: Count = 10
    """How many items to recommend."""


def run(arguments: Sequence[str]) -> None:
    """Prints the recommendations as a table."""
    asked = read(Recommend, arguments, "ialp recommend")
    policy = load_policy(asked.policy)
    history = [find_item(policy, name) for name in asked.history]
    table = Table("rank", "title", "id", "probability")
    for rank, found in enumerate(policy.recommend(history, asked.feedback or None, asked.k), start=1):
        table.add_row(str(rank), found.title, found.raw_id, f"{found.probability:.4f}")
    console = Console()
    console.print(table)
    for statement in policy.statements:
        console.print(statement, style="dim", highlight=False)


def find_item(policy: LoadedPolicy, name: str) -> int:
    """Item of that title (any case) or raw id.

    Raises:
        InputError: if there is none, with the nearest titles.
    """
    lowered = pl.col("title").str.to_lowercase()
    exact = policy.items.filter((lowered == name.lower()) | (pl.col("raw_id") == name))
    if exact.height:
        return int(exact["item"][0])
    near = policy.items.filter(lowered.str.contains(name.lower(), literal=True))["title"].head(3).to_list()
    raise InputError(f"no item is called {name!r}", column="history",
                     fix=f"did you mean {', '.join(near)}?" if near else "give a title of the catalogue")  # fmt: skip
