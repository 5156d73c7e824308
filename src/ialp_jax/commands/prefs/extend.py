"""Plans a further round of a finished table: the pairs that are worth asking about next."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.command_line import read
from ialp_jax.environments.logs import Logs
from ialp_jax.folders import claimed, require_free
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.job.rounds import RoundConfig, plan_round
from ialp_jax.preferences.table import PreferenceTable


@dataclass(frozen=True)
class Extend:
    """Plans a further round: then `ialp prefs judge OUT ...` and `ialp prefs merge TABLE OUT --out MERGED`."""

    table: tyro.conf.Positional[Path]
    """Folder of the finished table."""
    out: Path
    """Folder of the round."""
    round: Annotated[RoundConfig, tyro.conf.arg(name="")] = RoundConfig()
    """What is asked."""
    requests: Path | None = None
    """Folder of a job planned from the same logs, where the table's own requests are missing."""
    data: Path | None = None
    """Folder of the logs, if they lie elsewhere now."""


def run(arguments: Sequence[str]) -> None:
    """Plans the round and says what to do with it."""
    asked = read(Extend, arguments, "ialp prefs extend")
    work = f"ialp prefs extend {asked.table}"
    require_free(asked.out, work)
    console, table = Console(), PreferenceTable.load(asked.table)
    source = asked.table if asked.requests is None else asked.requests
    logs = Logs.of(_requests(source).logs, source / FOLDER, asked.data)
    dataset = logs.dataset()  # first: where there are none, no folder is made
    with claimed(asked.out, work):
        requests = plan_round(
            asked.table, dataset, asked.out, asked.round, logs=logs.record(), console=console
        )
    new, spent = int(requests.pairs().sum()), table.num_judgements + table.rejected
    limit = "" if asked.round.budget is None else f" of {asked.round.budget:,}"
    console.print(f"{new:,} pairs of {requests.num_states:,} users to judge, in {asked.out}; with the table's "
                  f"{spent:,} that makes {spent + new:,}{limit}. Next: ialp prefs judge {asked.out} JUDGE, then "
                  f"ialp prefs merge {asked.table} {asked.out} --out MERGED",
                  highlight=False, markup=False, soft_wrap=True)  # fmt: skip


def _requests(directory: Path) -> Requests:
    if not (directory / FOLDER).is_dir():
        raise InputError("no requests lie here, so that the logs are not known", file=directory,
                         fix="name a job planned from the same logs with --requests DIR")  # fmt: skip
    return Requests.load(directory / FOLDER)
