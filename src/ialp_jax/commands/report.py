"""Writes report.html and summary.json of a finished run or sweep again, from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from ialp_jax.command_line import read
from ialp_jax.folders import require_writable
from ialp_jax.report import print_summary, write_report


@dataclass(frozen=True)
class Report:
    """Writes report.html and summary.json of a run or a sweep again, from its files."""

    out: tyro.conf.Positional[Path]
    """Folder of the run, or of the sweep."""


def run(arguments: Sequence[str]) -> None:
    """Writes the report and prints its table."""
    report = read(Report, arguments, "ialp report")
    require_writable(report.out, "OUT")
    if (report.out / "sweep.json").exists():
        from ialp_jax.report.sweep import print_sweep
        from ialp_jax.sweeps.definition import load_sweep
        from ialp_jax.sweeps.run import write_report as write_sweep_again

        print_sweep(write_sweep_again(load_sweep(report.out), report.out), Console())
        return
    print_summary(write_report(report.out), Console())
