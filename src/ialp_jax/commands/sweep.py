"""Many settings of a study in one program: searches the best, resumes by itself, and reports."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from ialp_jax.command_line import options_in, refuse_repeated
from ialp_jax.ranges import Count, Rate
from ialp_jax.study.arguments import parse
from ialp_jax.study.config import Preset, StudyConfig
from ialp_jax.training.device import prepare_device
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class Sweep:
    """Runs every setting that a file describes, times paired seeds; the same command goes on after an interruption."""

    env: tyro.conf.Positional[str] = "synthetic"
    """Environment: a name (see `ialp envs`) or a .py file that registers one."""
    space: Path | None = None
    """File of the sweep (see experiments/sweeps): which method, what is searched, and how."""
    preset: Preset = "quick"
    """Size of each run."""
    data: Path | None = None
    """Folder of logs. Without it the environment's users are invented, and every result says so."""
    prefs: Path | None = None
    """Folder of a finished preference table. Without it a content judge judges, which is no LLM."""
    out: Path | None = None
    """Folder for the results; sweeps/ENV-FILE if left out."""
    fresh: bool = False
    """Start anew even if the folder holds this sweep."""
    engine: Literal["local", "ray"] = "local"
    """Where programs run: in this process, or as tasks of a Ray cluster (RAY_ADDRESS, or one started here)."""
    runs_per_program: Count | None = None
    """Most runs that share a program; as many as memory allows if left out, on CPUs a few per core."""
    devices: Count | None = None
    """How many devices of this machine share the runs; all if left out. A CPU counts as one per core."""
    memory_gb: Rate | None = None
    """Memory of one device that a program may take, in GB; most of what is free if left out."""
    study: Annotated[StudyConfig, tyro.conf.arg(name="")] = StudyConfig()
    """Everything else, the same for all runs; the defaults are those of ENV and PRESET."""


def run(arguments: Sequence[str]) -> None:
    """Parses the command line and runs the sweep."""
    from ialp_jax.sweeps.reading import read_space

    file = _space_file(arguments)
    methods = None if file is None else (read_space(file).method,)  # its options are those that there are
    sweep, name, _, base = parse(Sweep, arguments, "ialp sweep", methods)
    console = Console(width=None if os.environ.get("COLUMNS") or Console().is_terminal else 100)
    job = _job(sweep, name, base)
    if sweep.engine == "ray":  # the planner must leave a GPU's memory to the workers
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    prepare_device(a_device_per_core=True)
    job.run(console)


def _space_file(arguments: Sequence[str]) -> Path | None:
    """The sweep's file among the words of a command line."""
    refuse_repeated(arguments)
    return next(
        (Path(values[0]) for flag, values in options_in(arguments) if flag == "--space" and values), None
    )


def _job(asked: Sweep, name: str, base: StudyConfig):  # type: ignore[no-untyped-def]
    from ialp_jax.artifacts import InputError
    from ialp_jax.sweeps.define import define
    from ialp_jax.sweeps.plan import Limits
    from ialp_jax.sweeps.reading import read_space
    from ialp_jax.sweeps.run import SweepJob

    if asked.space is None:
        raise InputError("no sweep was named", column="--space",
                         fix="give a file, for example experiments/sweeps/quick_a2c.toml")  # fmt: skip
    sweep = define(asked.env, asked.preset, asked.data, asked.prefs, asked.study, base, read_space(asked.space),
                   asked.space)  # fmt: skip
    memory = None if asked.memory_gb is None else asked.memory_gb * 1e9
    limits = Limits(asked.runs_per_program, memory, asked.devices)
    out = asked.out or Path("sweeps") / f"{name}-{asked.space.stem}"
    return SweepJob(sweep, out, limits, asked.engine, asked.fresh)
