"""Checks whether an environment can be trained on, with a conformance suite anybody can run on their own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ialp_jax import environments
from ialp_jax.command_line import read


@dataclass(frozen=True)
class Check:
    """Fits an environment's users and runs the conformance suite on the result."""

    env: tyro.conf.Positional[str]
    """Environment: a name (see `ialp envs`) or a .py file that registers one."""
    data: Path | None = None
    """Folder of logs; invented users if left out."""


def run(arguments: Sequence[str]) -> None:
    """Prints one line per check; exit status 1 if any failed."""
    asked = read(Check, arguments, "ialp check")
    name, environment = environments.get(asked.env)
    from ialp_jax.environments.check import check_environment

    console = Console()
    dataset = environment.dataset(asked.data, environment.data, name)
    with console.status("fitting the users, then checking"):
        results = check_environment(environment, dataset)
    table = Table("check", "", "detail", title=f"{escape(name)}: {dataset.num_users:,} users, {dataset.num_items:,} items, "
                  f"{dataset.source}")  # fmt: skip
    for result in results:
        mark = "[red]failed" if not result.passed else "[yellow]look" if result.warning else "[green]ok"
        table.add_row(escape(result.name), mark, escape(result.detail))
    console.print(table)
    sys.exit(0 if all(result.passed for result in results) else 1)
