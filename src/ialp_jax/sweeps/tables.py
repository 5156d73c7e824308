"""The tables a sweep leaves: results.parquet, a row per run; rungs.parquet of a halving; timings.parquet of its units.

The first two are the same, byte for byte, however often the sweep was interrupted.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ialp_jax.artifacts import atomic_path, json_text, plain, read_json
from ialp_jax.evaluation.statistics import interquartile_mean
from ialp_jax.naming import label
from ialp_jax.study.fields import speakable
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.execute import RESULT, TIMINGS, diverged_of, is_done, unit_file
from ialp_jax.sweeps.search import Setting
from ialp_jax.sweeps.units import Round, Unit

RESULTS_TABLE, RUNGS_TABLE, TIMINGS_TABLE = "results.parquet", "rungs.parquet", "timings.parquet"
TABLES = (RESULTS_TABLE, RUNGS_TABLE, TIMINGS_TABLE)
RUNG_COLUMNS = ("setting", "seed", "rung", "updates")


def write_tables(sweep: Sweep, out: Path, planned: Sequence[Round]) -> tuple[str, ...]:
    """Writes the tables from the units executed so far, and returns their names; nothing where there are none."""
    rows = rung_rows(sweep, out, planned)
    if not rows:
        return ()
    last = {(row["setting"], row["seed"]): row for row in rows}  # the later rung wins
    _write(out / RESULTS_TABLE, [last[key] for key in sorted(last)])
    if sweep.space.search.kind == "halving":
        named = {"value": f"metric.{sweep.space.objective}"} | {name: name for name in RUNG_COLUMNS}
        _write(out / RUNGS_TABLE, [{new: row[old] for new, old in named.items()} for row in rows])
    _write(out / TIMINGS_TABLE, _timings(out, planned))
    return tuple(name for name in TABLES if name != RUNGS_TABLE or sweep.space.search.kind == "halving")


def rung_rows(sweep: Sweep, out: Path, planned: Sequence[Round]) -> list[dict[str, Any]]:
    """One row per run and round, of the units executed so far."""
    rows = []
    for one in planned:
        for unit in one.units:
            if unit.measured and is_done(out, unit.name):
                rows += _rows(sweep, out, one, unit)
    return sorted(rows, key=lambda row: (row["rung"], row["setting"], row["seed"]))


def scores(sweep: Sweep, out: Path, one: Round) -> dict[int, float]:
    """The objective of every setting of a round all of whose runs have been executed: as the page ranks them.

    That is the interquartile mean over the seeds; NaN where a seed has none.
    """
    values: dict[int, list[float]] = {}
    for unit in one.units:
        if unit.measured and is_done(out, unit.name):
            found = read_json(unit_file(out, unit.name, RESULT))["metrics"][sweep.space.objective]
            for run, value in zip(unit.runs, found, strict=True):
                values.setdefault(run.setting, []).append(math.nan if value is None else value)
    whole = {setting: of_seeds for setting, of_seeds in values.items() if len(of_seeds) == sweep.space.seeds}
    return {setting: float(interquartile_mean(np.asarray(of_seeds))) for setting, of_seeds in whole.items()}


def _rows(sweep: Sweep, out: Path, one: Round, unit: Unit) -> list[dict[str, Any]]:
    rows, result = [], read_json(unit_file(out, unit.name, RESULT))
    diverged = diverged_of(out, unit.name)
    described = {
        number: _described(sweep, one.settings[number]) for number in {run.setting for run in unit.runs}
    }
    for place, run in enumerate(unit.runs):
        setting = one.settings[run.setting]
        rows.append({
            "setting": run.setting, "seed": run.seed, "label": label(setting),
            "rung": one.number if sweep.space.search.kind == "halving" else 0,
            "updates": unit.until, "complete": unit.complete,
            **{f"axis.{axis.name}": _cell(setting[axis.name]) for axis in sweep.space.axes},
            **{f"metric.{name}": values[place] for name, values in result["metrics"].items()},
            **{f"cost.{name}": value for name, value in result["costs"][place].items()},
            **described[run.setting],
            **({"diverged": str(diverged[place])} if place in diverged else {}),
        })  # fmt: skip
    return rows


def _described(sweep: Sweep, setting: Setting) -> dict[str, str]:
    """What is the same for all seeds of a setting."""
    return {"command": sweep.command(setting), "config": json_text(speakable(plain(sweep.config(setting))))}


def _timings(out: Path, planned: Sequence[Round]) -> list[dict[str, Any]]:
    """A row per executed unit; what planning took to compile is the first's of its bucket."""
    rows = []
    for one in planned:
        planning = dict(one.compile_seconds)
        for unit in one.units:
            if is_done(out, unit.name):
                row = read_json(unit_file(out, unit.name, TIMINGS))
                rows.append(
                    row | {"compile_seconds": row["compile_seconds"] + planning.pop(unit.bucket, 0.0)}
                )
    return rows


def _cell(value: Any) -> Any:
    """Lists as text: a column holds one kind of value."""
    return json.dumps(plain(value)) if isinstance(value, (list, tuple)) else value


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    frame = pl.DataFrame([{name: row.get(name) for name in names} for row in rows], infer_schema_length=None,
                         strict=False)  # fmt: skip
    with atomic_path(path) as temporary:
        frame.write_parquet(temporary)
