"""`summary.json` of a sweep: the numbers that scripts rely on."""

import re
from typing import Any

import numpy as np
import polars as pl

from ialp_jax.evaluation.statistics import Estimate
from ialp_jax.report.summary import STATISTIC, describe_metric
from ialp_jax.report.sweep.inputs import COSTS, SweepFiles
from ialp_jax.report.sweep.settings import Setting, against, held_out_choice, mean_of, ranked
from ialp_jax.report.tables import METRICS, metric_meaning

SHOWN = 10
FRESH_TIMES = 3  # as many seeds as the sweep had, times this: two thirds of them are new


def build_summary(
    files: SweepFiles, settings: list[Setting], importance: dict[str, float] | None, importance_note: str
) -> dict[str, Any]:
    """The content of `summary.json`.

    "best" holds the first ten complete settings: `setting, label, changes, objective` ({"mean", "low", "high",
    "per_seed"}), `difference` to the first ({"mean", "low", "high", "excludes_zero"}; below zero is worse;
    None for the first itself), `metrics` (means), `updates`, `command`. `low` and `high` are None for one
    seed. "counts" partition the settings into complete, stopped early and failed; of those, "diverged" are settings of which
    a seed diverged, and "failed" says at which update. "costs" are sums over runs
    as if each paid alone; "timings" (None if not recorded) is what was executed. "notes" are what a reader must know of the
    users' worlds, and what is missing.
    """
    order = ranked(settings)
    differences = [against(setting, order[0]) for setting in order[1:]]
    best = [
        _row(setting, difference)
        for setting, difference in zip(order[:SHOWN], [None, *differences], strict=False)
    ]
    return {
        "environment": files.sweep["environment"],
        "data": files.sweep.get("data"),
        "method": files.sweep["method"],
        "card": files.card,
        "objective": files.objective,
        "objective_name": METRICS.get(files.objective, files.objective),
        "objective_meaning": metric_meaning(files.objective, files.sweep["phases"]),
        "search": files.sweep["search"],
        "seeds": len(files.seeds),
        "statistic": STATISTIC,
        "best": best,
        "selection": _selection(settings, order, differences),
        "fresh_seeds_command": fresh_command(files, order[0]) if order else None,
        "fresh_seeds_are_later": not files.sweep.get("fresh_seeds_command"),
        "failed": [
            {"setting": setting.id, "label": setting.label, "per_seed": describe_metric(setting.per_seed)["per_seed"],
             "diverged": list(setting.diverged)}
            for setting in settings
            if setting.state == "failed"
        ],
        "counts": _counts(files, settings),
        "costs": _costs(files.runs),
        "timings": None if files.timings is None else timing_totals(files.timings),
        "importance": importance,
        "importance_note": importance_note,
        "judge": files.sweep.get("judge"),
        "statements": files.sweep.get("statements") or [],
        "notes": [*(files.sweep.get("cautions") or []), *files.notes],
    }  # fmt: skip


def fresh_command(files: SweepFiles, best: Setting) -> str | None:
    """The best setting on seeds the sweep did not use: `sweep.json`'s own, or its command with more seeds."""
    given = files.sweep.get("fresh_seeds_command")
    if given:
        return str(given)
    more, replaced = re.subn(
        r"(--seeds[ =])\d+", rf"\g<1>{FRESH_TIMES * len(files.seeds)}", best.command, count=1
    )
    # Not in the folder of the best's own run, which it would clear.
    return re.sub(r"(--out \S+)", r"\1-more-seeds", more) if replaced else None


def timing_totals(timings: pl.DataFrame) -> dict[str, Any]:
    """Units, buckets, units that compiled, seconds (summed over units, compiling may be in them), steps executed."""
    return {
        "units": timings.height,
        "buckets": timings["bucket"].n_unique(),
        "compiles": int((timings["compile_seconds"].fill_null(0) > 0).sum()),
        "seconds": float(timings["seconds"].sum()),
        "compile_seconds": float(timings["compile_seconds"].sum()),
        "steps": int(timings["steps"].sum()),
    }


def _row(setting: Setting, difference: Estimate | None) -> dict[str, Any]:
    return {
        "setting": setting.id,
        "label": setting.label,
        "changes": setting.changes,
        "objective": describe_metric(setting.per_seed),
        "difference": None if difference is None else _difference(difference),
        "metrics": setting.metrics,
        "updates": setting.updates,
        "command": setting.command,
    }


def _difference(found: Estimate) -> dict[str, Any]:
    bounded = bool(np.isfinite(found.low))
    return {
        "mean": found.mean,
        "low": found.low if bounded else None,
        "high": found.high if bounded else None,
        "excludes_zero": found.excludes_zero,
    }


def _selection(settings: list[Setting], order: list[Setting], differences: list[Estimate]) -> dict[str, Any]:
    """How the best was chosen, among how many, and what is known about the price of choosing."""
    held_out = held_out_choice(settings)
    means = [mean_of(setting) for setting in order]
    return {
        "rule": "highest interquartile mean of the objective over the seeds, among complete settings",
        "candidates": len(order),
        "all_equal": len(order) > 1 and min(means) == max(means),
        # An interval wholly below zero is the only way to be told apart from the best.
        "not_distinguishable": sum(not found.high < 0 for found in differences),
        "held_out_mean": None if held_out is None else held_out[0],
        "best_plain_mean": None if held_out is None else held_out[1],
    }


def _counts(files: SweepFiles, settings: list[Setting]) -> dict[str, Any]:
    states = [setting.state for setting in settings]
    return {
        "settings": len(settings),
        "complete": states.count("complete"),
        "stopped_early": states.count("stopped"),
        "failed": states.count("failed"),
        "diverged": sum(bool(setting.diverged) for setting in settings),
        "runs": files.runs.height,
        "planned_runs": files.sweep.get("planned_runs"),
    }


def _costs(runs: pl.DataFrame) -> dict[str, Any]:
    """Cost -> {"sum" over runs, "most" of one run}; None where it was not recorded."""
    costs: dict[str, Any] = {}
    for name in COSTS:
        recorded = name in runs.columns and runs[name].null_count() < runs.height
        costs[name.removeprefix("cost.")] = (
            {"sum": int(runs[name].sum()), "most": int(runs[name].max())} if recorded else None  # type: ignore[arg-type]
        )
    return costs
