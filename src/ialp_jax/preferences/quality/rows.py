"""A table's quality for a terminal: judge, popularity and content judge side by side, and what is needed."""

from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from ialp_jax.preferences.quality.beside import interval
from ialp_jax.preferences.quality.evaluation import TableQuality
from ialp_jax.preferences.quality.gate import GateConfig
from ialp_jax.preferences.quality.per_state import StateMean


def quality_table(quality: TableQuality, gate: GateConfig, title: str) -> Table:
    """One row per measure, one column per scorer."""
    who = f"{quality.judge_name}: {quality.judge_model}" + (" (TEST DOUBLE)" if quality.test_double else "")
    table = Table(
        title=Text(f"{title}: {quality.states:,} users, {quality.pairs:,} judged pairs, by {who}"),
        caption=_caption(quality), caption_justify="left",
    )  # fmt: skip
    for name in ("", "judge", "popularity", "content judge", "needed"):
        table.add_column(name, no_wrap=not name)
    for row in (*_ranking_rows(quality, gate), *_judge_rows(quality, gate)):
        table.add_row(*row)
    return table


def _caption(quality: TableQuality) -> str:
    met = quality.held_out_popularity.mean
    known = "" if met is None else f" (the held-out feedback itself: {met:+.2f})"
    return (
        f"Means over users with 95 % bootstrap intervals; AUC and NDCG against the held-out feedback of "
        f"{quality.judge.auc.states:,} users, over judged pairs. Personal AUC: of the scores less the item's mean "
        f"over other users. Correlations are Spearman's within a user: with popularity{known}; with the order asked, "
        f"popularity held fixed. Calibration: scores as probabilities of a held-out interaction, which exists in "
        f"{quality.calibration.base_rate:.1%} of the judged pairs (Brier score of that rate: "
        f"{quality.calibration.base_brier:.4f})."
    )


def _ranking_rows(quality: TableQuality, gate: GateConfig) -> list[tuple[str, ...]]:
    columns = (quality.judge, quality.popularity, quality.content)
    missing = StateMean(None, None, None, 0)

    def row(name: str, needed: str = "", shown: Callable[[StateMean], str] = _interval) -> list[str]:
        found = [missing if one is None else getattr(one, name) or missing for one in columns]
        return [*map(shown, found), needed]

    lead = [
        "-" if over is None else interval(over, signed=True)
        for over in (quality.over_popularity, quality.over_content)
    ]
    distinct = ["-" if one is None else f"{one.distinct:.0%}" for one in columns]
    return [
        ("AUC", *row("auc", f">= {gate.auc:g}")),
        ("    judge's less its", "", *lead, f"not clearly < {0.0 - gate.popularity_loss:g}"),
        ("NDCG@10", *row("ndcg")),
        ("personal AUC", *row("personal_auc")),
        ("correlation, popularity", *row("popularity", shown=_correlation)),
        ("correlation, order asked", *row("position_bias", f"within {gate.position_bias:g}", _correlation)),
        ("different scores", *distinct, f">= {gate.distinct:.0%}"),
    ]


def _judge_rows(quality: TableQuality, gate: GateConfig) -> list[tuple[str, ...]]:
    mass, costs = quality.label_mass, quality.costs
    fits = (quality.calibration, quality.content_calibration)
    error, brier = (["-" if fit is None else f"{getattr(fit, name):.4f}" for fit in fits]
                    for name in ("error", "brier"))  # fmt: skip
    rejected = quality.rejected / (quality.rejected + quality.pairs)
    return [
        ("calibration error", error[0], "", error[1], ""),
        ("Brier score", brier[0], "", brier[1], ""),
        ("label mass", "unknown" if mass is None else f"{mass.mean:.3f}", "", "", f">= {gate.label_mass:g}"),
        ("    5th percentile", "unknown" if mass is None else f"{mass.low:.3f}", "", "", ""),
        ("rejected pairs", f"{rejected:.1%}", "", "", f"<= {gate.rejected:.1%}"),
        ("calls of a model", f"{costs['calls']:,}", "", "", ""),
        ("prompt tokens", f"{costs['prompt_tokens']:,}", "", "", ""),
        ("    computed anew", f"{costs['computed_tokens']:,}", "", "", ""),
    ]


def _interval(found: StateMean) -> str:
    return "-" if found.mean is None else interval(found)


def _correlation(found: StateMean) -> str:
    return "-" if found.mean is None else f"{found.mean:+.2f}"
