"""The self-contained page: everything a reader needs, nothing fetched, everything from data escaped."""

import json
from typing import Any

import jinja2
from markupsafe import Markup

from ialp_jax.evaluation.statistics import interval_coverage
from ialp_jax.installed import versions
from ialp_jax.report import panels, rows
from ialp_jax.report.curves import merge_width
from ialp_jax.report.headline import (
    footnote,
    headline,
    judge_statement,
    preference_statements,
    world_statement,
)
from ialp_jax.report.health import health_table
from ialp_jax.report.health_panel import health_figure
from ialp_jax.report.inputs import RunFiles
from ialp_jax.report.methods import described
from ialp_jax.report.quality import quality_facts, quality_table
from ialp_jax.report.tables import (
    COSTS,
    METRICS,
    comparison_groups,
    count,
    method_groups,
    metric_meaning,
    number,
    present_costs,
    present_metrics,
)

SAID_ELSEWHERE = {
    "unused",
    "is_llm",
    "test_double",
    "statement",
    "statements",
    "quality",
    "gate",
}  # of preferences.json


def render_page(run: RunFiles, summary: dict[str, Any]) -> str:
    """The text of `report.html`, a pure function of the run's files and the installed versions."""
    severity, judge = judge_statement(run.preferences)
    return _template().render(
        summary=summary,
        headline=headline(summary),
        footnote=footnote(summary),
        world=world_statement(summary),
        world_facts=facts(
            run.world,
            skip={"env", "source", "users", "items", "interactions", "statements", "cautions", "fit"},
        ),
        world_statements=run.world.get("statements", []),
        judge=judge,
        severity=severity,
        preference_facts=facts(run.preferences, skip=SAID_ELSEWHERE),
        preference_statements=preference_statements(run.preferences)[1:],
        quality=quality_table(run.preferences.get("quality")),
        quality_facts=quality_facts(run.preferences.get("quality"), run.preferences.get("gate")),
        figures=draw(run, summary),
        further=[(title, Markup(svg)) for title, svg in panels.further_curves(run) if svg],  # noqa: S704
        most_bands=panels.MOST_BANDS,
        merged=None if run.bins is None else merged_statement(run),
        metrics=[
            (METRICS.get(name, name), metric_meaning(name, run.phases)) for name in present_metrics(summary)
        ],
        costs=[COSTS[name] for name in present_costs(summary)],
        groups=method_groups(summary),
        methods=list(described(run.cards).values()),
        comparisons=comparison_groups(summary),
        departures=departure_table(run),
        health=health_table(run.health),
        heldout=heldout_table(run.world.get("fit", {}).get("heldout", {})),
        fit_facts=facts(run.world.get("fit", {}), skip={"heldout"}),
        precision=precision_statement(run.seeds),
        config=json.dumps(run.config, indent=2, ensure_ascii=False) if run.config else "",
        versions=versions(),
    )


def _template() -> jinja2.Template:
    """The page, which escapes all that is put into it and refuses names without a value."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ialp_jax", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html")


def draw(run: RunFiles, summary: dict[str, Any]) -> dict[str, Markup]:
    """The figures that can be drawn, by name, as markup (matplotlib escapes the text in them)."""
    drawn = {
        "reward": panels.learning_curves(run, summary, "reward", "mean_reward", "reward per session"),
        "length": panels.learning_curves(run, summary, "length", "length", "turns per session"),
        "initial_final": rows.initial_final(run, summary),
        "departures": rows.departure_reasons(run),
        "health": health_figure(run.health),
    }
    return {name: Markup(svg) for name, svg in drawn.items() if svg}  # noqa: S704


def facts(source: dict[str, Any], skip: set[str]) -> list[tuple[str, str]]:
    """Nested JSON as (name, value) lines, names joined by " · ", lists by commas; None is left out."""
    lines: list[tuple[str, str]] = []
    for name, value in source.items():
        label = name.replace("_", " ")
        if name in skip or value is None:
            continue
        if isinstance(value, dict):
            lines += [(f"{label} · {inner}", text) for inner, text in facts(value, skip=set())]
        elif isinstance(value, list):
            shown = (number(entry) if isinstance(entry, float) else str(entry) for entry in value)
            lines.append((label, ", ".join(shown) or "none"))
        elif isinstance(value, bool):
            lines.append((label, "yes" if value else "no"))
        elif isinstance(value, int):
            lines.append((label, count(value)))
        else:
            lines.append((label, number(value) if isinstance(value, float) else str(value)))
    return lines


def heldout_table(heldout: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The world's fit beside its baselines: `columns` and `rows` of (name, values)."""
    columns = list(dict.fromkeys(metric for row in heldout.values() for metric in row))
    values = [
        (name.replace("_", " "), [number(row.get(metric)) for metric in columns])
        for name, row in heldout.items()
    ]
    return {"columns": columns, "rows": values}


def departure_table(run: RunFiles) -> dict[str, Any]:
    """Counted ends of sessions: `columns` (reasons) and `rows` of (label, counts)."""
    counts = [
        (method.label, run.results[method.name]["departures"])
        for method in described(run.cards).values()
        if run.results[method.name].get("departures")
    ]
    reasons = list(dict.fromkeys(reason for _, ended in counts for reason in ended))
    return {
        "columns": [rows.REASONS.get(reason, (reason, ""))[0] for reason in reasons],
        "rows": [(label, [count(ended.get(reason, 0)) for reason in reasons]) for label, ended in counts],
    }


def merged_statement(run: RunFiles) -> str:
    """What a drawn point is: the only smoothing there is."""
    assert run.bins is not None
    width, bins = merge_width(run.bins), run.bins.size - 1
    steps = (run.bins[-1] - run.bins[0]) / bins * width
    covered = f"{steps:,.0f} steps ({width} of {bins} recorded bins)"
    return f"Each point covers the sessions started in about {covered}."


def precision_statement(seeds: int) -> str:
    """What this many seeds can show, measured rather than promised."""
    if seeds == 1:
        return "With one seed there is no interval, and no difference can be called clear."
    coverage = interval_coverage(seeds)
    return (
        f"With {seeds} seeds such an interval is somewhat too narrow: in simulated experiments with normal "
        f"values it covers the truth {coverage:.0%} of the time instead of 95 %, so about "
        f"{1 - coverage:.0%} of comparisons between equals would be called clear. If all {seeds} "
        f"seeds agree, a two-sided sign test gives p = {2.0 ** (1 - seeds):.3g}."
    )
