"""Says whether a table is good enough, beside popularity and the content judge."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from ialp_jax.artifacts import InputError, write_json
from ialp_jax.command_line import read
from ialp_jax.data.dataset import Dataset
from ialp_jax.environments.logs import Logs
from ialp_jax.folders import require_writable
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.quality.agreement import Agreement, agreement
from ialp_jax.preferences.quality.beside import comparisons
from ialp_jax.preferences.quality.evaluation import evaluate_table
from ialp_jax.preferences.quality.figure import write_figure
from ialp_jax.preferences.quality.gate import GateConfig, check_gate
from ialp_jax.preferences.quality.rows import quality_table
from ialp_jax.preferences.table import PreferenceTable


@dataclass(frozen=True)
class Evaluate:
    """Measures a finished table against held-out feedback; exit status 1 if it fails the gate.

    Writes evaluation.json and evaluation.svg (and agreement.json) to the table's folder.
    """

    directory: tyro.conf.Positional[Path]
    """Folder of the table."""
    against: Path | None = None
    """Another table to compare it with."""
    data: Path | None = None
    """Folder of the logs, if they lie elsewhere now."""
    content: bool = True
    """Also ask the content judge about the same pairs; takes seconds."""
    gate: GateConfig = GateConfig()
    """What the table must reach."""


def run(arguments: Sequence[str]) -> None:
    """Measures, writes, prints, and ends with status 1 if the gate fails."""
    asked = read(Evaluate, arguments, "ialp prefs evaluate")
    console = Console(width=None if os.environ.get("COLUMNS") or Console().is_terminal else 110)
    require_writable(asked.directory, "DIRECTORY")
    table = PreferenceTable.load(asked.directory)
    dataset = dataset_of(asked.directory, asked.data, table.dataset)
    quality = evaluate_table(asked.directory, dataset, content=asked.content)
    write_json(asked.directory / "evaluation.json", quality)
    write_figure(quality, asked.directory / "evaluation.svg")
    console.print(quality_table(quality, asked.gate, str(asked.directory)))
    if asked.against is not None:
        found = agreement(asked.directory, asked.against)
        write_json(asked.directory / "agreement.json", {"against": asked.against, "agreement": found})
        console.print(_agreement_line(found, asked.against), highlight=False, markup=False)
    for statement in table.statements:
        console.print(statement, style="dim", highlight=False, markup=False)
    for sentence in comparisons(quality):
        console.print(sentence, highlight=False, markup=False)
    failures = check_gate(quality, asked.gate)
    for failure in failures:
        console.print(failure, style="red", highlight=False, markup=False)
    passed = "[green]Good enough: it passes the gate." if not failures else (
        "[red]Not good enough." if asked.gate.enforce else "[yellow]Not good enough; the gate is not enforced.")  # fmt: skip
    console.print(passed)
    sys.exit(1 if failures and asked.gate.enforce else 0)


def dataset_of(directory: Path, data: Path | None, fingerprint: str) -> Dataset:
    """The logs a table was planned with, read again.

    Args:
        directory: the table's; its requests say which logs.
        data: where the logs lie now; where they lay if None.
        fingerprint: that they must have.

    Raises:
        InputError: if the logs are not known, not there, or not the same any more.
    """
    dataset = Logs.of(Requests.load(directory / FOLDER).logs, directory, data).dataset()
    if dataset.fingerprint != fingerprint:
        raise InputError(f"the logs are not those the table was made from (fingerprint {dataset.fingerprint}, not "
                         f"{fingerprint})", file=directory if data is None else data,
                         fix="name the folder of the logs it was planned with (--data)")  # fmt: skip
    return dataset


def _agreement_line(found: Agreement, against: Path) -> str:
    rho = "-" if found.spearman.mean is None else f"{found.spearman.mean:.3f}"
    return (f"Against {against}: {found.pairs:,} pairs of {found.states:,} users in both; Spearman {rho}, mean absolute "
            f"difference {found.difference:.3f}, {found.top.mean:.0%} of the top tenth shared.")  # fmt: skip
