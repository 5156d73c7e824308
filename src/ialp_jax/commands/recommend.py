"""Recommends items with a trained policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ialp_jax.artifacts import InputError
from ialp_jax.command_line import read
from ialp_jax.policies.artifact import load_policy
from ialp_jax.policies.loaded import LoadedPolicy
from ialp_jax.ranges import Count, Share
from ialp_jax.values import checked

BY_ID, BY_TITLE = "id:", "title:"
MOST_NAMED = 5


@dataclass(frozen=True)
@checked
class Recommend:
    """Recommends items to a user with a given history."""

    policy: tyro.conf.Positional[Path]
    """Folder of a policy, for example runs/steam/policy."""
    history: tuple[str, ...] = ()
    """Titles or raw ids of the items the user knows, most recent last; id:RAW_ID or title:TITLE where a name could be both."""
    feedback: tuple[Share, ...] = ()
    """How much they were liked, from 0 to 1; 1 if left out."""
    session: tuple[str, ...] = ()
    """What was recommended in this session so far, most recent last: never again, nor what is too like the last of it."""
    answers: tuple[Share, ...] = ()
    """How much each of those was liked, from 0 to 1; 1 if left out."""
    k: Count = 10
    """How many items to recommend."""


def run(arguments: Sequence[str]) -> None:
    """Prints what was understood of the history, and the recommendations as a table."""
    asked = read(Recommend, arguments, "ialp recommend")
    policy = load_policy(asked.policy)
    history = [find_item(policy, name) for name in asked.history]
    session = [find_item(policy, name) for name in asked.session]
    recommendations = policy.recommend(
        history, asked.feedback or None, asked.k, session, asked.answers or None
    )
    console = Console()
    for words, items in {"history": history, "this session": session}.items():
        if items:
            console.print(Text(f"{words}: {'; '.join(_named(policy, item) for item in items)}"))
    table = Table("rank", "title", "id", "probability")
    for rank, one in enumerate(recommendations, start=1):  # titles are text, not markup
        table.add_row(str(rank), Text(one.title), Text(one.raw_id), f"{one.probability:.4f}")
    console.print(table)
    for statement in policy.statements:
        console.print(Text(statement, style="dim"))


def find_item(policy: LoadedPolicy, name: str) -> int:
    """The item of that title or raw id; of titles that differ in case alone the one that is written so.

    Args:
        policy: whose catalogue it is of.
        name: a title (any case), a raw id, `title:` before a title or `id:` before a raw id.

    Raises:
        InputError: if there is none, with the nearest titles; or if there are several, with all that it could be.
    """
    items = policy.items
    matching = [*_of_title(items, name), *_of_id(items, name)]
    if name.startswith(BY_TITLE):
        matching += _of_title(items, name.removeprefix(BY_TITLE))
    if name.startswith(BY_ID):
        matching += _of_id(items, name.removeprefix(BY_ID))
    candidates = sorted(set(matching))
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        listed = "; ".join(_named(policy, item) for item in candidates[:MOST_NAMED])
        more = f" and {len(candidates) - MOST_NAMED} more" if len(candidates) > MOST_NAMED else ""
        raise InputError(f"{name!r} could be {len(candidates)} items: {listed}{more}", column="history",
                         fix=f"write {BY_ID} and the id of the one you mean, such as {BY_ID}{items['raw_id'][candidates[0]]}",
                         )  # fmt: skip
    near = (
        items.filter(pl.col("title").str.to_lowercase().str.contains(name.lower(), literal=True))["title"]
        .head(3)
        .to_list()
    )
    raise InputError(f"no item is called {name!r}", column="history",
                     fix=f"did you mean {', '.join(near)}?" if near else "give a title of the catalogue")  # fmt: skip


def _of_title(items: pl.DataFrame, title: str) -> list[int]:
    same = items.filter(pl.col("title").str.to_lowercase() == title.lower())
    exact = same.filter(pl.col("title") == title)
    return (exact if exact.height else same)["item"].to_list()


def _of_id(items: pl.DataFrame, raw_id: str) -> list[int]:
    return items.filter(pl.col("raw_id") == raw_id)["item"].to_list()


def _named(policy: LoadedPolicy, item: int) -> str:
    raw_id, title = policy.items.select("raw_id", "title").row(item)
    return f"{title} (id {raw_id})"
