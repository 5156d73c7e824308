"""Methods that diverged, as a report names them: they count as the last, whatever they had earned before."""

from typing import Any

from ialp_jax.divergence import Divergence
from ialp_jax.report.accounts import summary_methods
from ialp_jax.report.methods import Method

MOST_SEEDS = 3


def diverged_statements(summary: dict[str, Any]) -> list[str]:
    """A sentence for every method of which a seed diverged."""
    seeds = summary["budget"]["seeds"]
    return [
        _statement(method, summary["methods"][method.name]["diverged"], seeds)
        for method in summary_methods(summary).values()
        if has_diverged(summary, method)
    ]


def has_diverged(summary: dict[str, Any], method: Method) -> bool:
    """Whether a seed of the method diverged."""
    return bool(summary["methods"][method.name].get("diverged"))


def last_those_that_diverged(summary: dict[str, Any], members: list[Method]) -> list[Method]:
    """Methods in their order, those that diverged after all others."""
    return sorted(members, key=lambda method: has_diverged(summary, method))


def _statement(method: Method, records: list[dict[str, Any]], seeds: int) -> str:
    told = [f"seed {record['seed']} at {Divergence.of_record(record)}" for record in records[:MOST_SEEDS]]
    more = f"; and {len(records) - MOST_SEEDS} more" if len(records) > MOST_SEEDS else ""
    return (
        f"{method.label} diverged in {len(records)} of {seeds} seed{'' if seeds == 1 else 's'} and counts as the last: "
        f"{'; '.join(told)}{more}. A diverged seed stays as it was before that update, and its numbers are left out: try a "
        "smaller step size."
    )
