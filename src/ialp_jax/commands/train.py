"""From logs to an adapted policy: fits the users, judges, pre-trains, adapts online, compares, reports."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from ialp_jax import environments
from ialp_jax.study.config import Preset, StudyConfig, preset
from ialp_jax.training.device import prepare_device


@dataclass(frozen=True)
class Start:
    """What decides the defaults of everything else."""

    env: tyro.conf.Positional[str] = "synthetic"
    """Environment: a name (see `ialp envs`) or a .py file that registers one."""
    preset: Preset = "quick"
    """Size of the study: quick takes minutes on two cores."""


@dataclass(frozen=True)
class Train(Start):
    """From logs to an adapted policy, and a report that compares it with what it must beat."""

    data: Path | None = None
    """Folder of logs. Without it the environment's users are invented, and every result says so."""
    out: Path | None = None
    """Folder for the results; runs/ENV if left out."""
    resume: bool = False
    """Go on from the checkpoints of an interrupted run; the result is bitwise the same."""
    study: Annotated[StudyConfig, tyro.conf.arg(name="")] = StudyConfig()
    """Everything else; the defaults are those of ENV and PRESET."""


def run(arguments: Sequence[str]) -> None:
    """Parses the command line and runs the study."""
    start, _ = tyro.cli(
        Start, args=[a for a in arguments if a not in ("-h", "--help")], return_unknown_args=True
    )
    name, environment = environments.get(start.env)
    defaults = Train(env=start.env, preset=start.preset, study=preset(environment, start.preset))
    train = tyro.cli(Train, args=arguments, default=defaults, prog="ialp train")
    console = Console(width=None if os.environ.get("COLUMNS") or Console().is_terminal else 100)
    prepare_device()
    from ialp_jax.study.run import Study

    Study(name, environment, train.data, train.study, train.out or Path("runs") / name, train.resume).run(
        console
    )
