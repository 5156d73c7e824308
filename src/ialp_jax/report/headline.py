"""Sentences made from the numbers: what was found, what the world is, and who judged."""

from typing import Any

from ialp_jax.report.accounts import accounts
from ialp_jax.report.diverged import diverged_statements
from ialp_jax.report.opening import opening
from ialp_jax.report.overview import overview

MOST_ACCOUNTS, MOST_COMPARISONS = 8, 20


def world_statement(summary: dict[str, Any]) -> str:
    """One sentence: the environment, whether its users come from logs, and their number."""
    world = summary["world"]
    origin = {
        "logs": "simulated users fitted to real logs",
        "synthetic": "a synthetic world: no real user is behind these numbers",
    }.get(str(world["source"]), f"source {world['source']!r}")
    sizes = [
        f"{world[name]:,} {name}"
        for name in ("users", "items", "interactions")
        if world.get(name) is not None
    ]
    return f"{summary['env']}: {origin}" + (f" ({', '.join(sizes)})." if sizes else ".")


def judge_statement(preferences: dict[str, Any]) -> tuple[str, str]:
    """How loud, and the sentence on who judged the preferences.

    Returns:
        ("alarm" | "warning" | "plain", sentence): alarm for a test double, warning where no LLM judged or it
        is not known.
    """
    if preferences.get("unused"):
        return "plain", "No method here rests on a preference table."
    judge, model = preferences.get("judge") or "unknown", preferences.get("model") or "unknown"
    if preferences.get("test_double"):
        return "alarm", (
            f"TEST DOUBLE: a stand-in ({judge}, {model}) replaced the language model. It shows that the program "
            "runs; its numbers say nothing about any model's preferences."
        )
    if preferences.get("is_llm") is None:
        return "warning", "Who judged the preferences is not recorded."
    if preferences["is_llm"]:
        return "plain", f"The language model {model} judged the preferences ({judge})."
    if preferences.get("calls"):  # of a model without general knowledge, which says itself what it is
        own = preferences.get("statement") or ""
        return "warning", f"No general LLM judged the preferences; {model} did ({judge}). {own}".rstrip()
    return "warning", f"No LLM judged anything here: the preferences come from the judge “{judge}”."


def preference_statements(preferences: dict[str, Any]) -> list[str]:
    """All that must be said wherever these preferences are used: who judged, then the table's own statements."""
    judge = judge_statement(preferences)[1]
    return [judge, *(said for said in preferences.get("statements", []) if said not in judge)]


CORRECTED = (
    "Clearly: the interval of the paired difference over seeds excludes zero, widened for the number of differences that are "
    "looked at together (Bonferroni)."
)
IN_BRACKETS = (
    "In brackets: the paired difference in reward per session and its own 95 % interval over seeds. "
    + CORRECTED
)
CLEARLY = (
    f"{CORRECTED} Who earned the most was chosen by the "
    "seeds that measured it, so its value probably overstates what it will reach again."
)


def headline(summary: dict[str, Any]) -> list[str]:
    """The run's answer in a few sentences, from the numbers alone; says so where nothing can be compared."""
    sentences = overview(summary) if _needs_overview(summary) else accounts(summary)
    return [*opening(summary), *diverged_statements(summary), *sentences] or [
        "No two methods that decide a question are both here, so there is no answer yet."
    ]


def footnote(summary: dict[str, Any]) -> str:
    """How to read the sentences of `headline`."""
    return CLEARLY if _needs_overview(summary) else IN_BRACKETS


def _needs_overview(summary: dict[str, Any]) -> bool:
    """Whether an account of every method would be longer than a reader takes in."""
    return len(summary["comparisons"]) > MOST_COMPARISONS or len(accounts(summary)) > MOST_ACCOUNTS
