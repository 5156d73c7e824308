"""From logs to an adapted policy: fits the users, judges, pre-trains, adapts online, compares, reports."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from ialp_jax.study.arguments import parse
from ialp_jax.study.config import Preset, StudyConfig
from ialp_jax.training.device import prepare_device
from ialp_jax.training.distributed import DistributedConfig, initialise
from ialp_jax.training.mesh import MeshConfig
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class Train:
    """From logs to an adapted policy, and a report that compares it with what it must beat."""

    env: tyro.conf.Positional[str] = "synthetic"
    """Environment: a name (see `ialp envs`) or a .py file that registers one."""
    preset: Preset = "quick"
    """Size of the study: quick takes minutes on two cores."""
    data: Path | None = None
    """Folder of logs. Without it the environment's users are invented, and every result says so."""
    prefs: Path | None = None
    """Folder of a finished preference table (`ialp prefs judge`). Without it a content judge judges, which is no LLM."""
    out: Path | None = None
    """Folder for the results; runs/ENV if left out."""
    resume: bool = False
    """Go on from the checkpoints of an interrupted run; the result is bitwise the same."""
    mesh: MeshConfig = MeshConfig()
    """How devices share the work."""
    distributed: DistributedConfig = DistributedConfig()
    """How processes share it; each is started with the same command and a rank of its own."""
    study: Annotated[StudyConfig, tyro.conf.arg(name="")] = StudyConfig()
    """Everything else; the defaults are those of ENV and PRESET."""


def run(arguments: Sequence[str]) -> None:
    """Parses the command line and runs the study."""
    train, name, environment, _ = parse(Train, arguments, "ialp train")
    console = Console(width=None if os.environ.get("COLUMNS") or Console().is_terminal else 100)
    prepare_device()
    initialise(train.distributed)
    from ialp_jax.study.run import Study

    out = train.out or Path("runs") / name
    Study(name, environment, train.data, train.study, out, train.resume, train.prefs, train.mesh).run(console)
