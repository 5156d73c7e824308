"""Runs gathered into settings: what each changed, what it reached over the seeds, and in which order they rank."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.evaluation.statistics import Estimate, estimate, interquartile_mean, paired_difference
from ialp_jax.report.sweep.inputs import SweepFiles
from ialp_jax.values import checked

State = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True)
@checked
class Setting:
    """One point of the search.

    Attributes:
        id: the setting's number; of an adaptive search, the trial's.
        label: for people.
        changes: axis name -> value.
        per_seed: the objective, [R]; NaN where a seed has no value.
        state: "complete" (every seed trained to the end, with a finite value), "failed" (a value that is not
            finite, or none after the whole training), "stopped" (the rest: its value, if any, is of a shorter
            training and takes no part in the ranking).
        diverged: what is said of every seed that diverged; the setting has then failed.
        found: interquartile mean of the objective with its interval; None unless every seed has a value.
        metrics: metric -> interquartile mean over the seeds, None where a seed has no value.
        rung: at which it was last measured.
        updates: how far it was trained; None if not recorded.
        command: reproduces it.
    """

    id: int
    label: str
    changes: dict[str, Any]
    per_seed: Float[np.ndarray, " R"]
    state: State
    diverged: tuple[str, ...]
    found: Estimate | None
    metrics: dict[str, float | None]
    rung: int
    updates: int | None
    command: str


def gather(files: SweepFiles) -> list[Setting]:
    """All settings, by their number."""
    return [_setting(files, rows) for rows in files.runs.partition_by("setting", maintain_order=True)]


def ranked(settings: list[Setting]) -> list[Setting]:
    """The complete settings from best to worst; of equals the lower number comes first."""
    complete = [setting for setting in settings if setting.state == "complete"]
    return sorted(complete, key=lambda setting: (-mean_of(setting), setting.id))


def mean_of(setting: Setting) -> float:
    """The setting's objective over its seeds; NaN if it has none."""
    return float("nan") if setting.found is None else setting.found.mean


def against(setting: Setting, best: Setting) -> Estimate:
    """The setting minus the best, paired by seed: below zero is worse."""
    return paired_difference(setting.per_seed, best.per_seed)


def held_out_choice(settings: list[Setting]) -> tuple[float, float] | None:
    """What choosing costs: each seed in turn measures the setting the other seeds rank first.

    Returns:
        The mean over seeds of what was chosen without them, and the plain mean of the setting that all seeds
        together rank first. None where there is one seed, or fewer than two complete settings.
    """
    order = ranked(settings)
    values = np.array([setting.per_seed for setting in order])
    if len(order) < 2 or values.shape[1] < 2:
        return None
    others = [np.delete(values, seed, axis=1) for seed in range(values.shape[1])]
    chosen = [values[np.argmax(interquartile_mean(other)), seed] for seed, other in enumerate(others)]
    return float(np.mean(chosen)), float(values[0].mean())


def _setting(files: SweepFiles, rows: pl.DataFrame) -> Setting:
    first = rows.row(0, named=True)
    objective = rows[f"metric.{files.objective}"].cast(pl.Float64)
    by_seed = dict(zip(rows["seed"], objective.fill_null(float("nan")), strict=True))
    per_seed = np.array([by_seed.get(seed, float("nan")) for seed in files.seeds], dtype=float)
    complete = bool(rows["complete"].all()) and rows.height == len(files.seeds)
    finite = bool(np.isfinite(per_seed).all())
    # No value where training was cut short is no failure; a value that is not finite is, wherever it arose.
    broken = objective.is_not_null() & ~objective.is_finite().fill_null(True)
    diverged = _diverged(rows)
    failed = bool(diverged or broken.any()) or bool((objective.is_null() & rows["complete"]).any())
    return Setting(
        id=first["setting"],
        label=first["label"] or f"setting {first['setting']}",
        changes={name: first[f"axis.{name}"] for name in files.axes},
        per_seed=per_seed,
        state="failed" if failed else "complete" if complete else "stopped",
        diverged=diverged,
        found=estimate(per_seed) if finite else None,
        metrics={
            name.removeprefix("metric."): _middle(rows[name])
            for name in rows.columns
            if name.startswith("metric.")
        },
        rung=first.get("rung") or 0,
        updates=first.get("updates"),
        command=first["command"] or "",
    )


def _diverged(rows: pl.DataFrame) -> tuple[str, ...]:
    if "diverged" not in rows.columns:
        return ()
    told = rows.filter(pl.col("diverged").is_not_null()).select("seed", "diverged").iter_rows()
    return tuple(f"seed {seed} at {said}" for seed, said in told)


def _middle(column: pl.Series) -> float | None:
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return float(interquartile_mean(values)) if np.isfinite(values).all() else None
