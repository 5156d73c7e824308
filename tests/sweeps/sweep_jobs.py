"""Tiny sweeps for the tests: what is searched, over a study of fifty invented users."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
from earlier import earlier
from rich.console import Console
from tiny_study import FIXED, TINY

from ialp_jax import environments
from ialp_jax.study.config import preset
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.plan import Limits
from ialp_jax.sweeps.run import SweepJob
from ialp_jax.sweeps.settings import check_space
from ialp_jax.sweeps.space import Axis, Search, Space

LIMIT = 600  # seconds; only met if something hangs
RATES = Axis("methods.a2c.learning_rate", values=(0.001, 0.003, 0.01))


def tiny_sweep(place, *axes, method="a2c", search=None, **fixed):
    """A sweep over `axes`, two seeds each, in the settings of tests/golden; the environment's file lies in `place`."""
    file = place / "tiny.py"
    file.write_text(TINY, encoding="utf-8")
    only_pretrained = (
        {} if method != "a2c" else {name: FIXED[name] for name in FIXED if name.startswith("pretrain")}
    )
    left_out = {*only_pretrained, *(axis.name for axis in axes)}
    changes = {
        name: value
        for name, value in {**FIXED, **earlier((method,)), **fixed}.items()
        if name not in left_out
    }
    base = preset(environments.get(str(file))[1], "quick")
    space = check_space(Space(method, "mean_reward", 2, search or Search("grid"), changes, axes), base)
    return Sweep(str(file), "quick", None, None, space.fixed, space)


def run_sweep(sweep, out, limits=None):
    """Runs a sweep here; returns the summary and what was said."""
    console = Console(file=io.StringIO(), width=200)
    with jax.debug_key_reuse(False):
        summary = SweepJob(sweep, out, limits or Limits(runs=4, devices=1)).run(console)
    return summary, console.file.getvalue()


SPACE = """
method = "a2c"
objective = "mean_reward"
seeds = 2
[search]
kind = "grid"
[fixed]
{fixed}
[axes]
"methods.a2c.learning_rate" = [0.001, 0.003, 0.01]
"online.users" = [8, 16]
"""


def begin(place, out, *more, environment=None, **fixed):
    """Starts a sweep of six settings in a process of its own; the same as the fixture `whole` of test_sweeps_run."""
    sweep = tiny_sweep(place, RATES, Axis("online.users", values=(8, 16)), **fixed)
    fixed = "\n".join(f'"{name}" = {json.dumps(value)}' for name, value in sweep.changes.items())
    (place / "space.toml").write_text(SPACE.format(fixed=fixed), encoding="utf-8")
    command = [Path(sys.executable).parent / "ialp", "sweep", "tiny.py", "--space", "space.toml", "--out", out,
               "--runs-per-program", "3", "--devices", "1", "--loop.checkpoint-seconds", "0", *more]  # fmt: skip
    environment = (environment or os.environ) | {"JAX_COMPILATION_CACHE_DIR": str(place / "compiled")}
    return subprocess.Popen(command, cwd=place, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)  # fmt: skip
