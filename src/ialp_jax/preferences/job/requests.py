"""Everything a judge is asked, as files: the part of a job that another environment or machine can carry out.

On disk, a directory with `states.parquet` (one row per user state: its text, history and candidates),
`items.parquet` (one row per item: its text) and a manifest that says where they come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from jaxtyping import Int

from ialp_jax.artifacts import InputError, atomic_path, fingerprint, read_manifest, write_manifest
from ialp_jax.data.dataset import Dataset, Domain, Feedback
from ialp_jax.data.frames import read_frame
from ialp_jax.preferences.judges.base import JudgeContext, JudgeRequest
from ialp_jax.preferences.prompting.prompts import (
    ATTRIBUTES_LENGTH,
    item_text,
    state_text,
    template_hash,
    title_text,
)
from ialp_jax.preferences.states import UserStates
from ialp_jax.values import checked

KIND = "preference_requests"
FOLDER = "requests"
STATES = pl.Schema(
    {  # type: ignore[arg-type]
        "state": pl.Int32,
        "user": pl.Int32,
        "text": pl.String,
        "history": pl.List(pl.Int32),
        "grades": pl.List(pl.Float32),
        "items": pl.List(pl.Int32),
    }
)


@dataclass(frozen=True, eq=False)
@checked
class Requests:
    """S user states with their candidates, and the texts of N items.

    Attributes:
        states: state Int32 (the row), user Int32, text String, history and grades (most recent last), items
            List(Int32): the candidates, in the order they are asked about.
        item_texts: by item id.
        domain, feedback: of the dataset.
        source: what the requests were made from: dataset (its fingerprint), template_hash, chosen (how the
            candidates were), split; a job of another source is another job.
        statements: sentences a report must print.
        logs: where the dataset was read from (environment, folder, settings), so that it can be read again;
            no part of the job's identity.
        titles: of the items, by id; None where an earlier version planned the job.
    """

    states: pl.DataFrame = field(repr=False)
    item_texts: list[str] = field(repr=False)
    domain: Domain
    feedback: Feedback
    source: dict[str, Any]
    statements: tuple[str, ...]
    logs: dict[str, Any] = field(default_factory=dict, repr=False)
    titles: tuple[str, ...] | None = field(default=None, repr=False)

    @property
    def num_states(self) -> int:
        """S."""
        return self.states.height

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.item_texts)

    @property
    def context(self) -> JudgeContext:
        """What a judge that reads nothing but these files is built for."""
        return JudgeContext(self.domain, self.feedback, titles=self.titles)

    def pairs(self) -> Int[np.ndarray, " S"]:
        """Number of candidates of each state."""
        return self.states["items"].list.len().to_numpy().astype(np.int64)

    def fingerprint(self) -> str:
        """Hash of all that is asked, 16 hex digits."""
        return fingerprint(KIND, self.states.to_dict(as_series=False), self.item_texts, self.source)

    def make(self, state: int) -> JudgeRequest:
        """The request of one state."""
        row = self.states.row(state, named=True)
        texts = tuple(self.item_texts[item] for item in row["items"])
        history, grades, items = (tuple(row[name]) for name in ("history", "grades", "items"))
        return JudgeRequest(state, row["user"], row["text"], history, grades, items, texts)

    def save(self, directory: Path) -> None:
        """Writes the three files, all or nothing."""
        items = pl.DataFrame({"item": range(self.num_items), "text": self.item_texts})
        if self.titles is not None:
            items = items.with_columns(pl.Series("title", self.titles, pl.String))
        with atomic_path(directory) as temporary:
            temporary.mkdir()
            self.states.write_parquet(temporary / "states.parquet")
            items.write_parquet(temporary / "items.parquet")
            config = {"domain": self.domain, "feedback": self.feedback, "source": self.source, "logs": self.logs,
                      "content": self.fingerprint()}  # fmt: skip
            write_manifest(
                temporary, KIND, config, {"dataset": self.source["dataset"]}, list(self.statements)
            )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: if a file is missing or altered, or another version of the prompts wrote it.
        """
        manifest = read_manifest(directory, KIND)
        config = manifest.config
        source = config["source"]
        if template_hash(config["domain"], config["feedback"]) != source["template_hash"]:
            raise InputError("these requests were written with other prompts than this version's",
                             file=directory, fix="plan the job again with this version (ialp prefs plan)")  # fmt: skip
        items = read_frame(directory / "items.parquet", {"text": pl.String})
        titles = tuple(items["title"].to_list()) if "title" in items.columns else None
        states = read_frame(directory / "states.parquet", STATES)
        return cls(
            states,
            items["text"].to_list(),
            config["domain"],
            config["feedback"],
            source,
            tuple(manifest.statements),
            config["logs"],
            titles,
        )


def make_requests(
    dataset: Dataset,
    states: UserStates,
    items: Int[np.ndarray, "S K"],
    chosen: Mapping[str, Any],
    statement: str,
    *,
    split: Literal["offline", "online"] = "offline",
    attributes_length: int = ATTRIBUTES_LENGTH,
) -> Requests:
    """Puts states and candidates into words.

    Args:
        dataset: users and items.
        states: whom to ask about.
        items: candidates of each state, padded with id N.
        chosen: how they were chosen, as plain values; part of the job's identity.
        statement: the same for a reader.
        split: whose states they are.
        attributes_length: characters of an item's attributes that a judge reads.
    """
    titles = dataset.items["title"].to_list()
    words = zip(titles, dataset.items["text"].to_list(), strict=True)
    texts = [item_text(title, text, attributes_length) for title, text in words]
    told = dataset.users["text"].to_list() if "text" in dataset.users.columns else [""] * dataset.num_users
    rows = []
    for state, user in enumerate(states.users.tolist()):
        known = states.items[state] < len(texts)
        history, grades = states.items[state][known].tolist(), states.grades[state][known].tolist()
        text = state_text(
            dataset.domain, dataset.feedback, [titles[item] for item in history], grades, told[user]
        )
        rows.append((state, user, text, history, grades, items[state][items[state] < len(texts)].tolist()))
    source = {
        "dataset": dataset.fingerprint,
        "template_hash": template_hash(dataset.domain, dataset.feedback),
        "chosen": dict(chosen),
        "split": split,
        "attributes_length": attributes_length,
    }
    frame = pl.DataFrame(rows, schema=STATES, orient="row")
    named = tuple(map(title_text, titles))
    return Requests(frame, texts, dataset.domain, dataset.feedback, source, (statement,), titles=named)
