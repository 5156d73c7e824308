"""Sentences made from the numbers: what was found, what the world is, and who judged."""

from typing import Any

from ialp_jax.report.methods import describe
from ialp_jax.report.phases import initial_sessions

Rows = dict[tuple[str, str, str], dict[str, Any]]
"""Comparisons by (method, other, metric)."""


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


IN_BRACKETS = "In brackets: the paired difference in reward per session and its 95 % interval over seeds."


def headline(summary: dict[str, Any]) -> list[str]:
    """The run's answer in a few sentences, from the numbers alone; says so where nothing can be compared."""
    found = {(row["method"], row["other"], row["metric"]): row for row in summary["comparisons"]}
    sentences = [
        _beginning(summary, found),
        *(_reading(name, found) for name in ("a_ialp_ap_mixture", "a_ialp_ap_value")),
        _learning(found),
    ]
    answers = [sentence for sentence in sentences if sentence]
    return answers or [
        "The methods that would have to be compared are not all here, so there is no answer yet."
    ]


def _difference(row: dict[str, Any]) -> str:
    interval = "one seed" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"
    return f"{row['mean']:+.2f}, {interval}"


def _beginning(summary: dict[str, Any], found: Rows) -> str:
    """What pre-training was worth before anything was learnt online."""
    row = found.get(("ialp", "a2c", "initial_reward"))
    if row is None:
        return ""
    first, second = (summary["methods"][name]["initial_reward"]["mean"] for name in ("ialp", "a2c"))
    verdict = {"higher": "clearly more", "lower": "clearly less"}.get(row["verdict"], "no clear difference")
    return (
        f"In the {initial_sessions(summary['phases'])} {describe('ialp').label} earned {first:.2f} per session and "
        f"{describe('a2c').label} {second:.2f}: {verdict} ({_difference(row)})."
    )


def _reading(name: str, found: Rows) -> str:
    """One reading of A-iALP_ap: its end against fine-tuning and A2C, its whole run against A2C."""
    phases = {
        "final_reward": ("ended", ["a_ialp_ft", "a2c"]),
        "mean_reward": ("over the whole run was", ["a2c"]),
    }
    words = {"higher": "clearly above", "lower": "clearly below"}
    parts = []
    for metric, (when, others) in phases.items():
        rows = [found[name, other, metric] for other in others if (name, other, metric) in found]
        against = [
            f"{words.get(row['verdict'], 'not clearly different from')} {describe(row['other']).label} "
            f"({_difference(row)})"
            for row in rows
        ]
        if against:
            parts.append(f"{when} {' and '.join(against)}")
    return f"{describe(name).label} {'; '.join(parts)}." if parts else ""


def _learning(found: Rows) -> str:
    """Whether the learner from scratch learned at all, without which the rest says little."""
    row = found.get(("a2c", "random", "final_reward"))
    if row is None or row["verdict"] == "higher":
        return ""
    return f"A2C did not clearly end above random ({_difference(row)}): the budget is too small to judge it."
