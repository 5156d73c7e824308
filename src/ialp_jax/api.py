"""Training, sweeping and reading results from Python; `ialp_jax.train` and the others are these.

    ialp_jax.train("synthetic", methods=["a2c", "random"], out="runs/x", **{"online.updates": 400})

Names of fields are those of the command line with `_` for `-`: `--methods.a2c.learning-rate` is "methods.a2c.learning_rate".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ialp_jax import environments
from ialp_jax.artifacts import Value, read_json
from ialp_jax.report import inputs as study_files
from ialp_jax.report.sweep import inputs as sweep_files
from ialp_jax.sealed import require_intact
from ialp_jax.study.config import Preset, StudyConfig, preset
from ialp_jax.study.fields import apply
from ialp_jax.study.run import Study
from ialp_jax.sweeps.define import define
from ialp_jax.sweeps.plan import Limits
from ialp_jax.sweeps.reading import read_space, space_of
from ialp_jax.sweeps.run import SweepJob
from ialp_jax.sweeps.tables import RESULTS_TABLE

if TYPE_CHECKING:
    import polars as pl

Folder = str | Path


def train(
    env: str = "synthetic",
    *,
    out: Folder,
    methods: Sequence[str] = (),
    size: Preset = "quick",
    data: Folder | None = None,
    prefs: Folder | None = None,
    resume: bool = False,
    quiet: bool = False,
    **changes: Value,
) -> dict[str, Any]:
    """Trains and compares methods, as `ialp train` does.

    Args:
        env: an environment's name, or a .py file that registers one.
        out: folder for the results; `report.html` is the page.
        methods: names, or .py files that register one each; the default ones if empty.
        size: the preset, "quick" or "full".
        data: folder of logs; None invents users.
        prefs: folder of a finished preference table.
        resume: go on with what lies in `out`.
        quiet: say nothing.
        changes: fields of the study by dotted name, such as seeds=3, or **{"online.updates": 400}.

    Returns:
        What `summary.json` holds: for every method and metric its mean and interval over seeds, and each seed's value.

    Raises:
        InputError: if a name, a value or a file cannot be used; it says which, and what can be done.
    """
    name, environment, base = _base(env, size, tuple(methods))
    config = apply(base, changes)
    return Study(name, environment, _path(data), config, Path(out), resume, _path(prefs)).run(
        Console(quiet=quiet)
    )


def sweep(
    env: str = "synthetic",
    *,
    space: Folder | Mapping[str, Any],
    out: Folder,
    size: Preset = "quick",
    data: Folder | None = None,
    prefs: Folder | None = None,
    fresh: bool = False,
    runs_per_program: int | None = None,
    devices: int | None = None,
    quiet: bool = False,
    **changes: Value,
) -> dict[str, Any]:
    """Runs a method with many settings, as `ialp sweep` does; called again with the same, it goes on.

    Args:
        env: an environment's name, or a .py file that registers one.
        space: what is searched: a TOML file (docs/sweeps.md), or a dictionary of what one would hold.
        out: folder for the results; `report.html` is the page.
        size: the preset that the settings change.
        data: folder of logs; None invents users.
        prefs: folder of a finished preference table.
        fresh: start anew even if `out` holds this sweep.
        runs_per_program: most runs that share a program; as many as memory allows if None.
        devices: how many devices share the runs; all if None.
        quiet: say nothing.
        changes: fields of every run by dotted name, as of `train`.

    Returns:
        What `summary.json` holds.

    Raises:
        InputError: if a name, a value or a file cannot be used, or `out` holds another sweep.
    """
    given = not isinstance(space, Mapping)
    read = read_space(Path(space)) if given else space_of(space, Path.cwd())  # type: ignore[arg-type]
    _, _, base = _base(env, size, (read.method,))
    described = define(env, size, _path(data), _path(prefs), apply(base, changes), base, read,
                       Path(space) if given else None)  # type: ignore[arg-type]  # fmt: skip
    limits = Limits(runs_per_program, None, devices)
    return SweepJob(described, Path(out), limits, fresh=fresh).run(Console(quiet=quiet))


def read(out: Folder) -> "pl.DataFrame":
    """The results in a folder of `train` or `sweep`, a row for each run.

    Returns:
        Columns "metric.NAME" and "cost.NAME", and "seed"; of a study "method", of a sweep "setting", "axis.FIELD" and all
        else that results.parquet holds.

    Raises:
        InputError: if there are no results, or they were altered after they were written.
    """
    import polars as pl

    from ialp_jax.data.frames import read_frame

    if (table := Path(out) / RESULTS_TABLE).exists():
        require_intact(Path(out), sweep_files.KIND, [RESULTS_TABLE], sweep_files.MEND)
        return read_frame(table)
    rows, results = [], Path(out) / "results.json"
    require_intact(Path(out), study_files.KIND, [results.name], study_files.MEND)
    for method, result in read_json(results)["methods"].items():
        costs = {f"cost.{name}": value for name, value in result.items() if isinstance(value, int)}
        columns = {
            f"metric.{name}": pl.Series(values, dtype=pl.Float64)
            for name, values in result["per_seed"].items()
        }
        rows.append(pl.DataFrame(columns).with_row_index("seed").with_columns(method=pl.lit(method), **{
            name: pl.lit(value) for name, value in costs.items()}))  # fmt: skip
    return pl.concat(rows).select("method", "seed", pl.exclude("method", "seed"))


def _base(
    env: str, size: Preset, methods: tuple[str, ...]
) -> tuple[str, environments.Environment, StudyConfig]:
    """An environment's name, it itself, and its study of these methods as the preset has it."""
    name, environment = environments.get(env)
    return name, environment, preset(environment, size, methods)


def _path(folder: Folder | None) -> Path | None:
    return None if folder is None else Path(folder)
