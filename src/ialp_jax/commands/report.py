"""Writes report.html and summary.json of a finished run again, from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from ialp_jax.report import print_summary, write_report


@dataclass(frozen=True)
class Report:
    """Writes report.html and summary.json of a run again, from its files."""

    out: tyro.conf.Positional[Path]
    """Folder of the run."""


def run(arguments: Sequence[str]) -> None:
    """Writes the report and prints its table."""
    report = tyro.cli(Report, args=arguments, prog="ialp report")
    print_summary(write_report(report.out), Console())
