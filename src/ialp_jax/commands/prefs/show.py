"""Shows what a judge reads about one user, and what it answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ialp_jax.artifacts import InputError, read_json
from ialp_jax.command_line import read
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.prompting import prompts
from ialp_jax.preferences.prompting.frames import continuation, frame, liked
from ialp_jax.preferences.table import JOB_NAME, SHARD_PATTERN, read_shard
from ialp_jax.ranges import Count
from ialp_jax.values import checked

RAW_LENGTH = 60


@dataclass(frozen=True)
@checked
class Show:
    """Shows the words a judge reads about one user state, and its answers so far, best first."""

    directory: tyro.conf.Positional[Path]
    """Folder of the job or table."""
    state: int = 0
    """Number of the user state."""
    items: Count = 20
    """How many items to list."""


def run(arguments: Sequence[str]) -> None:
    """Prints who judges, the prompt, and a table of the items."""
    asked = read(Show, arguments, "ialp prefs show")
    requests = Requests.load(asked.directory / FOLDER)
    if not 0 <= asked.state < requests.num_states:
        raise InputError(f"there is no state {asked.state}", file=asked.directory, column="state",
                         fix=f"give a number from 0 to {requests.num_states - 1}")  # fmt: skip
    path = asked.directory / JOB_NAME
    job = read_json(path) if path.exists() else None
    rows = answers(asked.directory, requests, job, asked.state)
    shown = rows.head(asked.items)
    console = Console()
    console.print(_who(job), markup=False, highlight=False)
    _print_prompt(console, requests, asked.state, shown["item"].to_list(), job)
    console.print(_table(shown, requests, rows))


def answers(directory: Path, requests: Requests, job: dict[str, Any] | None, state: int) -> pl.DataFrame:
    """The candidates of a state, best first, then those without a score in the order asked.

    Columns: item, score, mass (label mass), raw; the last three are null for what is not judged yet.
    """
    items = pl.DataFrame({"item": requests.make(state).items}, schema={"item": pl.Int32})
    shards = sorted(directory.glob(SHARD_PATTERN)) if job is not None else []
    for shard in shards:
        found = read_shard(shard, job["num_items"], len(job["users"])).filter(pl.col("state") == state)  # type: ignore[index]
        if found.height:
            mass = pl.col("log_yes").exp() + pl.col("log_no").exp()
            judged = found.select("item", "score", "raw", mass=mass)
            return items.join(judged, on="item", how="left").sort(
                "score", descending=True, nulls_last=True, maintain_order=True
            )
    nothing = {"score": pl.Float32, "raw": pl.String, "mass": pl.Float32}
    return items.with_columns(pl.lit(None, kind).alias(name) for name, kind in nothing.items())


def _who(job: dict[str, Any] | None) -> str:
    if job is None:
        return "Nobody has judged yet."
    judge = job["judge"]
    return f"{judge['name']}: {judge['model']}, revision {judge['revision']}. {judge['statement']}"


def _print_prompt(
    console: Console, requests: Requests, state: int, items: Sequence[int], job: dict[str, Any] | None
) -> None:
    """The prompt about the first of `items`; about several where the judge is asked for the best of a list."""
    judge = {} if job is None else job["judge"]
    if job is not None and not judge["template_hash"]:
        console.print("\nThis judge reads no prompt; a language model would read:", style="dim")
    settings = judge.get("settings", {})
    if "framing" in settings and requests.titles is not None:
        _print_continuation(console, requests, state, items[0] if items else None, settings)
        return
    texts = [requests.item_texts[item] for item in items]
    if settings.get("mode") == "list":
        size = min(settings["list_size"], len(texts), 26)
        question = prompts.list_question(requests.domain)
        about = prompts.list_lines([chr(ord("A") + place) for place in range(size)], texts[:size])
    else:
        question, about = prompts.question(requests.domain), "".join(texts[:1])
    console.print("\nsystem", style="bold")
    console.print(Text(prompts.system(requests.domain)), soft_wrap=True)
    console.print("\nuser", style="bold")
    console.print(Text(f"{requests.states['text'][state]}\n{question}{about}\n"), soft_wrap=True)


def _print_continuation(
    console: Console, requests: Requests, state: int, item: int | None, settings: dict[str, Any]
) -> None:
    """What a judge reads that asks nothing: what the user liked, and a title that goes on from there."""
    titles, asked = requests.titles or (), requests.make(state)
    told = liked(asked.history, asked.history_grades, settings["least_grade"], settings["most_liked"])
    before = frame(requests.domain, settings["framing"], [titles[one] for one in told])
    console.print("\nread on its own", style="bold")
    console.print(Text(before + ("" if item is None else continuation(titles[item]))), soft_wrap=True)


def _table(shown: pl.DataFrame, requests: Requests, rows: pl.DataFrame) -> Table:
    judged, total = rows["score"].count(), rows.height
    table = Table("rank", "item", "score", "label mass", "raw answer",
                  title=f"{judged} of {total} items have a score; the first {shown.height}")  # fmt: skip
    for rank, (item, score, raw, mass) in enumerate(
        shown.select("item", "score", "raw", "mass").iter_rows(), start=1
    ):
        table.add_row(
            str(rank), Text(requests.item_texts[item]), "-" if score is None else f"{score:.4f}",
            "-" if mass is None else f"{mass:.3f}", Text("-" if raw is None else prompts.clean(raw, RAW_LENGTH)),
        )  # fmt: skip
    return table
