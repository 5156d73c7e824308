"""The sweep's self-contained page: nothing fetched, everything from data escaped."""

import json
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from ialp_jax.naming import short_names
from ialp_jax.report.headline import judge_statement
from ialp_jax.report.html import precision_statement
from ialp_jax.report.sweep import parallel, progress, slices
from ialp_jax.report.sweep.headline import headline, objective_words, verdict
from ialp_jax.report.sweep.inputs import SweepFiles
from ialp_jax.report.sweep.scales import scale, show
from ialp_jax.report.sweep.settings import Setting, ranked
from ialp_jax.report.tables import METRICS, cell, count, number, signed

BUCKET_SHOWN = 8  # digits of a fingerprint, enough to tell the buckets of a sweep apart
COSTS = {
    "online_steps": "online simulator steps",
    "pretraining_steps": "pre-training steps",
    "judgements": "judgements",
    "llm_calls": "LLM calls",
}
SEARCHES = {
    "grid": "every combination of the listed values",
    "random": "settings drawn at random",
    "sobol": "settings spread evenly (Sobol)",
    "halving": "many settings trained briefly, the better ones trained on (successive halving)",
    "adaptive": "each setting proposed from the results so far",
}


def render_sweep(files: SweepFiles, settings: list[Setting], summary: dict[str, Any]) -> str:
    """The text of `report.html`, a pure function of the sweep's files and the summary made of them."""
    loader = jinja2.ChoiceLoader(
        [jinja2.PackageLoader("ialp_jax", "report/sweep"), jinja2.PackageLoader("ialp_jax", "report")]
    )
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("template.html").render(
        summary=summary,
        headline=headline(summary),
        words=objective_words(summary),
        search=SEARCHES.get(files.kind, files.kind),
        kind=files.kind,
        judge=_judge(summary["judge"]),
        figures=draw(files, settings, summary),
        axes=[_swept(axis) for axis in files.sweep["axes"]],
        short=list(short_names(files.axes).values()),
        rows=_rows(summary),
        metrics=_metrics(summary),
        precision=precision_statement(summary["seeds"]),
        costs=[(text, summary["costs"][name]) for name, text in COSTS.items()],
        buckets=None if files.timings is None else bucket_rows(files.timings),
        facts=_facts(files.sweep.get("fixed") or {}),
        versions=[fact for used in _used_versions(files.sweep) for fact in _facts(used)],
        study=json.dumps(files.sweep.get("study"), indent=2, ensure_ascii=False),
        show=show,
        count=count,
        number=number,
    )


def draw(files: SweepFiles, settings: list[Setting], summary: dict[str, Any]) -> dict[str, Markup]:
    """The figures that can be drawn, by name, as markup (matplotlib escapes the text in them)."""
    names = list(short_names(files.axes).values())
    scales = [
        scale(axis, name, [setting.changes[axis["name"]] for setting in settings])
        for axis, name in zip(files.sweep["axes"], names, strict=True)
    ]
    best = next(iter(ranked(settings)), None)
    label = summary["objective_name"]
    drawn = {
        "slices": slices.slices(settings, scales, best, label),
        "parallel": parallel.parallel_coordinates(settings, scales, best, label),
        "importance": progress.importance_bars(summary["importance"]),
    }
    if files.kind == "halving":
        drawn["rungs"] = progress.rung_curves(settings, files.rungs, best, label)
    if files.kind == "adaptive":
        drawn["best_so_far"] = progress.best_so_far(settings, label)
    return {name: Markup(svg) for name, svg in drawn.items() if svg}  # noqa: S704


def _used_versions(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the packages, one for each installation that a part of the sweep ran with."""
    used = sweep.get("versions") or []
    return [used] if isinstance(used, dict) else used


def bucket_rows(timings: pl.DataFrame) -> list[tuple[str, ...]]:
    """A row per stage and bucket: units, runs per unit, idle copies, steps, seconds, steps/s, compiling."""
    rows: list[tuple[str, ...]] = []
    grouped = timings.group_by("stage", "bucket", maintain_order=True).agg(
        pl.len().alias("units"), pl.col("runs").min().alias("fewest"), pl.col("runs").max().alias("most"),
        pl.col("idle_copies", "steps", "seconds", "compile_seconds").sum(),
    )  # fmt: skip
    # In the order in which they were planned: what others start from comes first.
    for row in grouped.iter_rows(named=True):
        runs = count(row["fewest"]) + ("" if row["fewest"] == row["most"] else f" to {count(row['most'])}")
        speed = count(row["steps"] / row["seconds"]) if row["seconds"] > 0 else "-"
        rows.append(
            (str(row["stage"]), str(row["bucket"])[:BUCKET_SHOWN], count(row["units"]), runs, count(row["idle_copies"]),
             count(row["steps"]), f"{row['seconds']:,.1f}", speed, f"{row['compile_seconds']:,.1f}")
        )  # fmt: skip
    return rows


def _judge(judge: dict[str, Any] | None) -> tuple[str, str, str] | None:
    """Severity, sentence, and the judge's own statement where it adds one; None where no table was used."""
    if judge is None:
        return None
    severity, sentence = judge_statement(judge)
    own = judge.get("statement") or ""
    return severity, sentence, "" if own in sentence else own


def _metrics(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """(metric, label) of the columns beside the objective: those any shown setting has, known ones first."""
    found = {
        name for row in summary["best"] for name, value in row["metrics"].items() if value is not None
    } - {summary["objective"]}
    order = [*(name for name in METRICS if name in found), *sorted(found - set(METRICS))]
    return [(name, METRICS.get(name, name)) for name in order]


def _rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "number": row["setting"],
            "label": row["label"],
            "changed": [show(value) for value in row["changes"].values()],
            "found": cell(row["objective"]),
            "difference": row["difference"] and _difference(row["difference"]),
            "verdict": verdict(row["difference"]),
            "metrics": row["metrics"],
            "per_seed": ", ".join(number(value) for value in row["objective"]["per_seed"]),
            "command": row["command"],
        }
        for row in summary["best"]
    ]


def _difference(found: dict[str, Any]) -> tuple[str, str]:
    interval = "" if found["low"] is None else f"[{signed(found['low'])}, {signed(found['high'])}]"
    return signed(found["mean"]), interval


def _swept(axis: dict[str, Any]) -> tuple[str, str, str]:
    """Name, scale and range of an axis."""
    scale_name = "logarithmic" if axis.get("log") else "linear"
    if axis.get("values"):
        listed = ", ".join(show(value) for value in axis["values"])
        return axis["name"], scale_name if axis.get("log") else "listed values", listed
    if axis.get("low") is None or axis.get("high") is None:
        return axis["name"], scale_name, "not recorded"
    return axis["name"], scale_name, f"{show(axis['low'])} to {show(axis['high'])}"


def _facts(source: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, show(value)) for name, value in source.items()]
