"""The preference table a study starts from: a finished one made beforehand, or the content judge's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from ialp_jax.artifacts import InputError, fingerprint, plain, read_manifest
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.job.job import run_job
from ialp_jax.preferences.judges import build_judge, judge_module
from ialp_jax.preferences.quality.beside import comparisons, losses
from ialp_jax.preferences.quality.evaluation import TableQuality, evaluate_table
from ialp_jax.preferences.quality.gate import check_gate, require_gate
from ialp_jax.preferences.states import user_states
from ialp_jax.preferences.table import COSTS, KIND, PreferenceTable
from ialp_jax.report import print_judge
from ialp_jax.study.config import PreferenceConfig


@dataclass(frozen=True)
class FinishedTable:
    """A table that was made beforehand and may feed pre-training.

    Attributes:
        table: the judgements; its statements say if it did not pass the gate.
        directory: where it lies.
        fingerprint: of its manifest: what was asked of whom.
        content: of its manifest and files: what was answered.
        quality: what `evaluate_table` measured, as plain values.
        failures: of the gate; empty if it passed.
    """

    table: PreferenceTable
    directory: Path
    fingerprint: str
    content: str
    quality: dict[str, Any]
    failures: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Where it is from, for a report."""
        return {"path": str(self.directory.resolve()), "fingerprint": self.fingerprint,
                "content": self.content}  # fmt: skip

    def gate(self) -> dict[str, Any]:
        """What became of the gate, for a report."""
        return {"passed": not self.failures, "failures": list(self.failures)}


def finished_table(
    directory: Path, dataset: Dataset, config: PreferenceConfig, console: Console
) -> FinishedTable:
    """Reads a table made beforehand, checks that it is about these logs' offline users, and measures it.

    Raises:
        InputError: naming the directory, if it is about others or, unless told otherwise, fails the gate.
    """
    table = _without_empty_rows(PreferenceTable.load(directory))
    _check_users(table, dataset, directory)
    manifest = read_manifest(directory, KIND)
    console.print(f"preferences: {table.num_judgements:,} judgements for {table.num_states:,} offline users, from "
                  f"{escape(str(directory))}", highlight=False)  # fmt: skip
    print_judge(judge_record(table), console)
    with console.status("measuring the preference table"):
        quality = evaluate_table(directory, dataset)
    _print_quality(quality, console)
    require_gate(quality, config.gate, directory)
    failures = check_gate(quality, config.gate, "--preferences.gate")
    for statement in [*losses(quality), *_warnings(table, dataset, failures)]:
        console.print(f"[yellow]{escape(statement)}[/yellow]")
        table = replace(table, statements=(*table.statements, statement))
    content = fingerprint(manifest.fingerprint, manifest.files)
    return FinishedTable(table, directory, manifest.fingerprint, content, plain(quality), tuple(failures))


def content_table(
    dataset: Dataset, config: PreferenceConfig, directory: Path, console: Console
) -> PreferenceTable:
    """The content judge's table; judged shards are kept between runs."""
    judge_config = judge_module("content").Config(popularity_prior=config.popularity_prior)
    judge = build_judge("content", dataset, judge_config)
    table = run_job(dataset, judge, config.candidates, directory, console=console)
    console.print(f"[yellow]{escape(table.info.statement)}[/yellow]")
    return table


def judge_record(table: PreferenceTable) -> dict[str, Any]:
    """What a report says of who judged, how much, and at what cost."""
    info = table.info
    return {
        "judge": info.name,
        "is_llm": info.is_llm,
        "model": info.model,
        "revision": info.revision,
        "test_double": info.test_double,
        "statement": info.statement,
        "pairs": table.num_judgements,
        "states": table.num_states,
        "rejected": table.rejected,
        **{name: table.costs[name] for name in COSTS},
    }


def _without_empty_rows(table: PreferenceTable) -> PreferenceTable:
    """A user all of whose pairs were rejected was not judged: no imagined user can be made of no preference."""
    judged = np.unique(table.state)
    return replace(
        table, users=table.users[judged], state=np.searchsorted(judged, table.state).astype(np.int32)
    )


def _check_users(table: PreferenceTable, dataset: Dataset, directory: Path) -> None:
    if table.dataset != dataset.fingerprint:
        raise InputError(f"this table is about other logs ({table.dataset}) than those of this run "
                         f"({dataset.fingerprint})", file=directory,
                         fix="give ENV, DATA and --data.* as they were when the table was planned",
                         )  # fmt: skip
    strangers = np.setdiff1d(table.users, user_states(dataset).users)
    if strangers.size:
        raise InputError(f"{strangers.size} of its {table.num_states} users are online users, whom pre-training may "
                         "not know", file=directory, fix="plan a table with --split offline")  # fmt: skip


def _print_quality(quality: TableQuality, console: Console) -> None:
    columns = {
        "this table": quality.judge,
        "popularity": quality.popularity,
        "the content judge": quality.content,
    }
    shown = ", ".join(
        f"{name} {found.auc.mean:.3f}" if found.auc.mean is not None else f"{name} unknown"
        for name, found in columns.items()
        if found is not None
    )
    console.print(f"AUC against held-out feedback: {shown}", highlight=False)
    for sentence in comparisons(quality):
        console.print(sentence, highlight=False)


def _warnings(table: PreferenceTable, dataset: Dataset, failures: Sequence[str]) -> list[str]:
    """What a reader of every result must know of this table."""
    offline = user_states(dataset).users.size
    said = []
    if table.num_states < offline:
        said.append(
            f"Only {table.num_states:,} of {offline:,} offline users were judged: pre-training meets no other."
        )
    if failures:
        said.append(f"The table did not pass the gate: {' '.join(failures)}")
    return said
