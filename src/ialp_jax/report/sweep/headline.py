"""The sweep's answer in plain words, from the summary alone."""

from typing import Any

from ialp_jax.naming import short_names
from ialp_jax.report.sweep.scales import show
from ialp_jax.report.tables import count, number


def headline(summary: dict[str, Any]) -> list[str]:
    """Sentences: what was best, what cannot be told from it, and how much of its lead is luck."""
    if not summary["best"]:
        counts = summary["counts"]
        return [
            f"No setting can be called best: none of {plural(counts['settings'], 'setting')} was trained to the end "
            f"with a finite {summary['objective_name']} for every seed "
            f"({count(counts['failed'])} failed, {count(counts['stopped_early'])} stopped early).",
            *_diverged(summary),
        ]
    return [
        _best(summary),
        *_others(summary),
        *_diverged(summary),
        *_few_seeds(summary),
        *_selection(summary),
    ]


def named(row: dict[str, Any]) -> str:
    """What a setting changed, in short; its label where nothing was swept. The command has every digit."""
    short = short_names(list(row["changes"])).values()
    pairs = zip(short, row["changes"].values(), strict=True)
    return ", ".join(f"{name} = {show(value)}" for name, value in pairs) or row["label"]


def verdict(found: dict[str, Any] | None) -> str:
    """What a setting's difference to the best says, by its interval; None is the best itself."""
    if found is None:
        return "best"
    if found["low"] is None:
        return "one seed"
    return "clearly worse" if found["high"] < 0 else "not clear"


def plural(amount: int, thing: str) -> str:
    """An amount and its noun."""
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def objective_words(summary: dict[str, Any]) -> str:
    """The objective's name and meaning."""
    meaning = summary["objective_meaning"]
    kind = "reward " if "session" in meaning and "length" not in summary["objective"] else ""
    return f"{summary['objective_name']} ({kind}{meaning})" if meaning else summary["objective_name"]


def _best(summary: dict[str, Any]) -> str:
    best, seeds = summary["best"][0], summary["seeds"]
    found = best["objective"]
    words = objective_words(summary)
    if summary["selection"]["all_equal"]:
        return (
            f"No setting stands out: all {count(summary['selection']['candidates'])} complete settings reached the "
            f"same {words}, {number(found['mean'])}. The first of them, {named(best)}, is shown as the best."
        )
    interval = (
        "from one seed, so there is no interval and nothing can be called clear"
        if found["low"] is None
        else f"95 % interval {number(found['low'])} to {number(found['high'])} over {seeds} seeds"
    )
    alone = summary["selection"]["candidates"] == 1
    return (
        f"{'The only complete setting' if alone else 'The best setting'} is {named(best)}: "
        f"{words} {number(found['mean'])}, {interval}."
    )


def _others(summary: dict[str, Any]) -> list[str]:
    selection = summary["selection"]
    others, alike = selection["candidates"] - 1, selection["not_distinguishable"]
    if others == 0:
        return []
    if summary["seeds"] == 1:
        return [
            f"With one seed none of the {plural(others, 'other complete setting')} can be told apart from it."
        ]
    if alike == 0:
        told = "All" if others > 1 else "It beats"
        rest = f"{told} {plural(others, 'other complete setting')}"
        return [f"{rest} {'are clearly worse' if others > 1 else 'clearly'}: {REASON}."]
    return [
        f"{count(alike)} of the {plural(others, 'other complete setting')} cannot be told apart from it "
        f"({REASON} for the rest only)."
    ]


def _diverged(summary: dict[str, Any]) -> list[str]:
    """Which settings diverged: they take no part in the ranking."""
    rows = [row for row in summary["failed"] if row["diverged"]]
    if not rows:
        return []
    told = "; ".join(f"{row['label']}: {row['diverged'][0]}" for row in rows[:MOST_DIVERGED])
    more = f"; and {plural(len(rows) - MOST_DIVERGED, 'more setting')}" if len(rows) > MOST_DIVERGED else ""
    return [
        f"{plural(len(rows), 'setting')} diverged and {'counts' if len(rows) == 1 else 'count'} as the last ({told}{more})."
    ]


MOST_DIVERGED = 3


def _few_seeds(summary: dict[str, Any]) -> list[str]:
    seeds = summary["seeds"]
    if summary["selection"]["candidates"] < 2 or not 1 < seeds < FEW_SEEDS:
        return []
    return [
        f"Intervals from {seeds} seeds are far too narrow (how far is said below the table): take “clearly” lightly."
    ]


FEW_SEEDS = 4  # three seeds' intervals cover the truth 76 % of the time, not 95 %
REASON = "the 95 % interval of the difference, paired by seed, lies below zero"


def _selection(summary: dict[str, Any]) -> list[str]:
    selection = summary["selection"]
    if selection["candidates"] < 2:
        return []
    seeds = (
        "seed that also measures" if summary["seeds"] == 1 else f"{summary['seeds']} seeds that also measure"
    )
    text = (
        f"It was chosen as the highest of {count(selection['candidates'])} by the same {seeds} it, so its value "
        "probably overstates what it will reach again (the winner's curse)."
    )
    if selection["held_out_mean"] is not None:
        text += (
            f" When each seed in turn measures the setting that the other seeds choose, the mean is "
            f"{number(selection['held_out_mean'])} instead of {number(selection['best_plain_mean'])}."
        )
    return [text + " Measure it again on fresh seeds before relying on it."]
