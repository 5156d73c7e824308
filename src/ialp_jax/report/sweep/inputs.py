"""The files of a sweep, read and checked once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ialp_jax.artifacts import InputError, read_json
from ialp_jax.data.frames import read_frame
from ialp_jax.report.cards import Card, read_card
from ialp_jax.report.inputs import RENAMED, read_phases
from ialp_jax.sealed import require_intact

RUN_AGAIN = "finish the sweep, or run it again"
KIND = "sweep"
"""Of the manifest of a finished sweep's results; its rounds and units have their own."""
READ = ("sweep.json", "results.parquet", "rungs.parquet", "timings.parquet")
WRITTEN = ("summary.json", "report.html")
MEND = "put back a copy of it; tables are made again by `ialp report` where the units lie"
NEEDED = ("environment", "method", "objective", "seeds", "search", "axes")
COSTS = ("cost.online_steps", "cost.pretraining_steps", "cost.judgements", "cost.llm_calls")
TIMINGS = ("stage", "bucket", "runs", "idle_copies", "seconds", "compile_seconds", "steps")
RUNGS = ("setting", "seed", "updates", "value")


@dataclass(frozen=True)
class SweepFiles:
    """What a sweep wrote.

    Attributes:
        sweep: `sweep.json`: what was searched, how, and on what.
        card: what a report says of the method.
        runs: `results.parquet`: a row per setting and seed, sorted by both.
        seeds: the seeds of the runs, ascending; their number is R.
        timings: `timings.parquet`: a row per executed unit; None where it is missing.
        rungs: `rungs.parquet`: `setting, seed, updates, value` at every rung; None where it is missing.
        notes: sentences about what is missing.
    """

    sweep: dict[str, Any]
    card: Card
    runs: pl.DataFrame
    seeds: tuple[int, ...]
    timings: pl.DataFrame | None
    rungs: pl.DataFrame | None
    notes: tuple[str, ...]

    @property
    def axes(self) -> list[str]:
        """Dotted names of what was swept, in the sweep's order."""
        return [axis["name"] for axis in self.sweep["axes"]]

    @property
    def kind(self) -> str:
        """How settings were chosen: grid, random, sobol, halving or adaptive."""
        return str(self.sweep["search"]["kind"])

    @property
    def objective(self) -> str:
        """The metric that was maximised."""
        return str(self.sweep["objective"])


def read_sweep(out: Path) -> SweepFiles:
    """Reads a sweep's folder.

    Raises:
        InputError: if `sweep.json` or `results.parquet` is missing, or any file is malformed or was altered since the sweep
            ended.
    """
    require_intact(out, KIND, READ, MEND)
    sweep = _sweep(out / "sweep.json")
    sweep["objective"] = RENAMED.get(sweep["objective"], sweep["objective"])
    sweep["phases"] = read_phases(out / "sweep.json", sweep)
    card = read_card(sweep.get("card"), str(sweep["method"]), out / "sweep.json", "card")
    path = out / "results.parquet"
    columns = ["setting", "seed", "label", "complete", "command", f"metric.{sweep['objective']}"]
    runs = _table(path, [*columns, *(f"axis.{axis['name']}" for axis in sweep["axes"])])
    if runs.is_empty():
        raise InputError("there is no run in it", file=path, fix=RUN_AGAIN)
    _check_runs(path, runs)
    seeds = tuple(sorted(runs["seed"].unique().to_list()))
    notes = []
    if len(seeds) != sweep["seeds"]:
        notes.append(f"The sweep was asked for {sweep['seeds']} seeds; its runs have {len(seeds)}.")
    planned = sweep.get("planned_runs")
    if planned is not None and runs.height < planned:
        notes.append(f"The sweep is partial: {runs.height:,} of {planned:,} planned runs are here.")
    timings, rungs = _optional(out / "timings.parquet", TIMINGS), _optional(out / "rungs.parquet", RUNGS)
    if timings is None:
        notes.append("There is no timings.parquet: how long the sweep took is not known here.")
    return SweepFiles(sweep, card, runs.sort("setting", "seed"), seeds, timings, rungs, tuple(notes))


def _sweep(path: Path) -> dict[str, Any]:
    sweep = read_json(path)
    if not isinstance(sweep, dict):
        raise InputError(f"expected a JSON object, found {type(sweep).__name__}", file=path, fix=RUN_AGAIN)
    for name in NEEDED:
        if name not in sweep:
            raise InputError("the field is missing", file=path, column=name, fix=RUN_AGAIN)
    if not isinstance(sweep["search"], dict) or "kind" not in sweep["search"]:
        raise InputError("the field is missing", file=path, column="search.kind", fix=RUN_AGAIN)
    axes = sweep["axes"]
    if not isinstance(axes, list) or not all(isinstance(axis, dict) and "name" in axis for axis in axes):
        raise InputError("expected a list of axes with names", file=path, column="axes", fix=RUN_AGAIN)
    return sweep


def _table(path: Path, needed: list[str] | tuple[str, ...]) -> pl.DataFrame:
    table = read_frame(path, fix=RUN_AGAIN).rename(
        {f"metric.{old}": f"metric.{new}" for old, new in RENAMED.items()}, strict=False
    )
    for name in needed:
        if name not in table.columns:
            raise InputError("the column is missing", file=path, column=name, fix=RUN_AGAIN)
    return table


def _optional(path: Path, needed: tuple[str, ...]) -> pl.DataFrame | None:
    return _table(path, needed) if path.exists() else None


def _check_runs(path: Path, runs: pl.DataFrame) -> None:
    """Types, identity and emptiness of what every later step relies on."""
    for name in runs.columns:
        kind = runs.schema[name]
        number = kind.is_numeric() or kind == pl.Null
        if name.startswith(("metric.", "cost.")) and not number:
            raise InputError(f"expected numbers, found {kind}", file=path, column=name, fix=RUN_AGAIN)
        if name in ("setting", "seed") and (not kind.is_integer() or runs[name].null_count()):
            raise InputError(f"expected whole numbers, found {kind}", file=path, column=name, fix=RUN_AGAIN)
    if runs.schema["complete"] != pl.Boolean or runs["complete"].null_count():
        raise InputError("expected true or false", file=path, column="complete", fix=RUN_AGAIN)
    twice = runs.group_by("setting", "seed").len().filter(pl.col("len") > 1).sort("setting", "seed")
    if twice.height:
        setting, seed, _ = twice.row(0)
        raise InputError(f"setting {setting} has seed {seed} more than once", file=path, column="seed",
                         fix=RUN_AGAIN)  # fmt: skip
