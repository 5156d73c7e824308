"""Whole studies, sweeps and reports as works whose file operations fail in turn; what needs no files is computed once."""

import io
import pickle
import re
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from unittest.mock import patch

import polars as pl
from orbax.checkpoint import v1 as ocp
from rich.console import Console
from tiny_study import FIXED, TINY

import ialp_jax.report
import ialp_jax.report.sweep
from ialp_jax import environments, read
from ialp_jax.artifacts import InputError, writing
from ialp_jax.folders import LOCK, claimed
from ialp_jax.report import write_report
from ialp_jax.report.inputs import read_run
from ialp_jax.report.sweep.inputs import read_sweep
from ialp_jax.sealed import is_sealed
from ialp_jax.study import inputs, users_world
from ialp_jax.study.config import preset
from ialp_jax.study.run import Study
from ialp_jax.sweeps import run as sweep_run
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.plan import Limits, Planner
from ialp_jax.sweeps.settings import check_space
from ialp_jax.sweeps.space import Axis, Search, Space
from ialp_jax.testing.faults import Case
from ialp_jax.testing.tiny import SMALL, small_inputs, tiny_config

METHODS = ("popular",)
PARQUET = (pl.DataFrame, "write_parquet")
NATIVES = ((ocp, "save"), PARQUET)
PURE = (
    (environments.Environment, "dataset"), (inputs, "settle"), (users_world, "fit_world"), (users_world, "tabulate_near"),
    (ialp_jax.report, "render_page"), (Planner, "_bytes"), (Sweep, "config"),
)  # fmt: skip
"""Functions that neither read nor write files and take most of the time of a tiny run."""
_kept = {}


def remembered(function):
    """The function, which computes the same once."""

    @wraps(function)
    def once(*values, **more):
        try:
            key = function.__qualname__, pickle.dumps((values, more))
        except (pickle.PicklingError, AttributeError, TypeError):  # consoles, functions of a user's file
            key = function.__qualname__, repr((values[1:], more))
        if key not in _kept:
            _kept[key] = function(*values, **more)
        return _kept[key]

    return once


@contextmanager
def quickly():
    """What is computed is remembered, a sweep's page is not drawn, and nobody waits for the disk: losses are played."""
    with ExitStack() as stack:
        for owner, name in PURE:
            stack.enter_context(patch.object(owner, name, remembered(getattr(owner, name))))
        stack.enter_context(patch.object(ialp_jax.report.sweep, "render_sweep", lambda *_: "the page"))
        yield


def trained(folder):
    """A whole study, which goes on where it was left if it was begun."""
    with quickly():
        Study("small", SMALL, None, tiny_config(METHODS, SMALL), folder / "out", True).run(
            Console(quiet=True)
        )


@lru_cache
def small_sweep():
    """Two settings of a method that trains no network."""
    file = _place("environment") / "tiny.py"
    file.write_text(TINY, encoding="utf-8")
    changes = {name: value for name, value in FIXED.items() if not name.startswith("pretrain")}
    base = preset(environments.get(str(file))[1], "quick")
    axes = (Axis("methods.session_knn.shrinkage", values=(2.0, 20.0)),)
    space = check_space(Space("session_knn", "mean_reward", 1, Search("grid"), changes, axes), base)
    return Sweep(str(file), "quick", None, None, space.fixed, space)


def swept(folder):
    """A whole sweep, which goes on where it was left."""
    with quickly():
        console = Console(file=io.StringIO())
        sweep_run.SweepJob(small_sweep(), folder / "out", Limits(runs=1, devices=1)).run(console)


def swept_anew(folder):
    """The beginning of another sweep in the folder of a finished one."""
    job = sweep_run.SweepJob(small_sweep(), folder / "out", Limits(runs=1, devices=1), fresh=True)
    with quickly(), claimed(folder / "out", "a sweep"), writing(folder / "out"):
        job._open(Console(quiet=True))


def reported(folder):
    with quickly():
        write_report(folder / "out")


def sweep_reported(folder):
    with quickly():
        sweep_run.write_report(small_sweep(), folder / "out")


def kept_dataset(folder):
    users_world._keep_dataset(small_inputs().dataset, folder / "dataset")


def another_dataset(folder):
    dataset = small_inputs().dataset
    (folder / "dataset" / "old").mkdir(parents=True)
    (folder / "dataset" / "old" / "file").write_text(dataset.fingerprint)


_places = []


def _place(name):
    """A folder that is there while this process lives."""
    _places.append(tempfile.TemporaryDirectory())
    place = Path(_places[-1].name) / name
    place.mkdir()
    return place


@lru_cache
def finished(work):
    """What a work leaves where nothing fails."""
    place = _place("finished")
    work(place)
    return place


def begun_from(work):
    return lambda folder: shutil.copytree(finished(work), folder, dirs_exist_ok=True)


def everything(folder, volatile=("checkpoints",)):
    """Every file but locks, half-written ones too; of those that hold times the names alone, of run states the folders'."""
    files = sorted(
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != LOCK
    )
    return {
        re.sub(r"(checkpoints/[^/]+/[^/]+)/.*", r"\1", str(name)): None
        if any(part in str(name) for part in volatile)
        else (folder / name).read_bytes()
        for name in files
    }


def study_left(folder):
    """All files; those with hashes were checked."""
    read_run(folder / "out")
    return is_sealed(folder / "out"), everything(folder)


def sweep_left(folder):
    """All files; those with hashes were checked, among them those that hold times."""
    out = folder / "out"
    read_sweep(out)
    sweep_run.write_tables(small_sweep(), out, sweep_run.load_rounds(out))
    return is_sealed(out), everything(
        folder, ("checkpoints", "timings", "manifest.json", "rounds", "summary.json", "sweep.json")
    )


def sound(work):
    """Whether results that can be read are those of a run in which nothing fails."""

    def readable(folder):
        try:
            results = read(folder / "out")
        except InputError:
            return True  # there are none yet
        return results.equals(read(finished(work) / "out"))

    return readable


WHOLE = [
    Case("study", lambda folder: None, trained, study_left, sound(trained), NATIVES),
    Case("study gone on with", begun_from(trained), trained, study_left, sound(trained), NATIVES),
    Case("report of a study", begun_from(trained), reported, study_left, sound(trained)),
    Case("sweep", lambda folder: None, swept, sweep_left, sound(swept), NATIVES),
    Case("sweep gone on with", begun_from(swept), swept, sweep_left, sound(swept), NATIVES),
    Case("sweep anew", begun_from(swept), swept_anew, everything),
    Case("report of a sweep", begun_from(swept), sweep_reported, sweep_left, sound(swept), NATIVES),
]  # fmt: skip
DATASET = Case("dataset over another", another_dataset, kept_dataset, everything, natives=(PARQUET,))
