"""What several jobs of one judge asked, as if it had been asked at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job.requests import FOLDER, STATES, Requests


def merged_requests(sources: Sequence[Path]) -> Requests | None:
    """The users of all jobs, ascending, each with every item that any of them asked about; None if one lacks its requests.

    Raises:
        InputError: if the same user or item was put into other words.
    """
    if not all((source / FOLDER).is_dir() for source in sources):
        return None
    parts = [Requests.load(source / FOLDER) for source in sources]
    for source, part in zip(sources[1:], parts[1:], strict=True):
        if part.item_texts != parts[0].item_texts:
            raise InputError(f"the items are described in other words than in {sources[0]}", file=source / FOLDER,
                             fix="merge tables planned with the same attributes length")  # fmt: skip
    told = ("text", "history", "grades")
    asked = pl.concat([part.states for part in parts])
    users = asked.group_by("user", maintain_order=True).agg(
        *(pl.col(name).first() for name in told),
        pl.col("text").n_unique().alias("texts"),
        pl.col("items").explode().unique(maintain_order=True),
    )
    differing = users.filter(pl.col("texts") > 1)
    if differing.height:
        raise InputError(f"user {differing['user'][0]} is described in other words in one folder than in another",
                         file=sources[-1] / FOLDER, fix="merge tables planned from the same histories")  # fmt: skip
    states = users.sort("user").with_row_index("state").select(list(STATES)).cast(STATES)  # type: ignore[arg-type]
    statements = tuple(dict.fromkeys(sentence for part in parts for sentence in part.statements))
    chosen = {"merged": [part.fingerprint() for part in parts]}
    return replace(
        parts[0],
        states=states,
        source=parts[0].source | {"chosen": chosen},
        statements=statements,
        logs=next((part.logs for part in parts if part.logs), {}),
    )
