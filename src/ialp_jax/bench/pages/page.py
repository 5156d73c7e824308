"""The results as one self-contained page."""

import json

import jinja2
from markupsafe import Markup

from ialp_jax.bench.pages.figure import throughput
from ialp_jax.bench.pages.table import GROWTH_COLUMNS, cells, departed, growth_cells, rate, size
from ialp_jax.bench.peers import ratios
from ialp_jax.bench.results import Results
from ialp_jax.bench.subjects.workloads import WORKLOADS

COLUMNS = (
    "users",
    "items",
    "steps/s",
    "lowest-highest",
    "floor allows",
    "reached",
    "first result",
    "temporary",
    "head",
)


def render(results: Results) -> str:
    """The page's text, a pure function of the results."""
    loader = jinja2.ChoiceLoader(
        [jinja2.PackageLoader("ialp_jax", "bench/pages"), jinja2.PackageLoader("ialp_jax", "report")]
    )
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    figure = throughput(results)
    names = list(dict.fromkeys(point.workload for point in results.points))
    return environment.get_template(
        "template.html"
    ).render(
        results=results,
        figure=Markup(figure) if figure else None,  # noqa: S704
        columns=COLUMNS,
        workloads=[
            (
                WORKLOADS[name],
                [(point, cells(point)[1:]) for point in results.points if point.workload == name],
            )
            for name in names
        ],
        titles={name: workload.title for name, workload in WORKLOADS.items()},
        work=[_work(point) for point in results.points],
        rates=_rates(results),
        ratios=ratios(results),
        growth_columns=GROWTH_COLUMNS,
        growth=[growth_cells(found) for found in results.largest],
        departed=departed(results),
        rate=rate,
        settings=json.dumps(results.settings, indent=1),
    )


def _work(point) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    """What one step costs: FLOPs needed and written, XLA's count, parts of the floor."""
    needed, traced, xla = (point.flops[name] for name in ("needed", "traced", "xla"))
    floor, steps = point.floor_s, point.steps_per_call
    return (
        WORKLOADS[point.workload].title, f"{point.users:,}", f"{point.items:,}",
        rate(needed / steps), rate(traced / steps), "-" if xla is None else rate(xla),
        *(f"{1e9 * floor[part] / steps:,.1f}" for part in ("matmul", "exponential", "bytes")),
        f"{point.ns_per_step:,.1f}", floor["bound"], size(point.memory["total"]), f"{point.compile_s:.1f} s",
    )  # fmt: skip


def _rates(results: Results) -> list[tuple[str, str]]:
    """The machine's rates as lines of text."""
    lines = []
    groups = {entry["group"] for entry in results.rates}
    for entry in results.rates:
        place = f"{entry['items']:,} items" + (f", group {entry['group']}" if len(groups) > 1 else "")
        products = ", ".join(f"{rows} rows {rate(value)}" for rows, value in entry["matmul"].items())
        copied = ", ".join(f"{size(count)} {rate(value)}" for count, value in entry["copy"].items())
        lines.append((f"{place}: FLOP/s of the head's product", products))
        lines.append((f"{place}: exponentials/s", rate(entry["exponential"])))
        lines.append((f"{place}: bytes/s of copies", copied))
    return lines
