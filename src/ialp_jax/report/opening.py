"""What a page opens with: whether a method's premise pays here, and the room that this world leaves."""

from typing import Any

from ialp_jax.report.accounts import beginning, summary_methods

NEAR_TOP = 0.95
"""Share of the highest landmark's reward from which on a policy that learns nothing nearly reaches it."""
PAYS = {"higher": "pays here", "lower": "does not pay here", "not clear": "does not clearly pay here"}


def opening(summary: dict[str, Any]) -> list[str]:
    """The first sentences of a run's answer, from the numbers alone; fewer where methods are missing."""
    return [sentence for sentence in (*_premises(summary), _room(summary)) if sentence]


def _premises(summary: dict[str, Any]) -> list[str]:
    """Of every comparison of the start that tests what a method is built on."""
    methods = summary_methods(summary)
    return [
        f"{row['premise']} {PAYS[row['verdict']]}: {_lowered(beginning(summary, row, methods))}{_told(summary, row)}"
        for row in summary["comparisons"]
        if row["premise"] and row["metric"] == "initial_reward"
    ]


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _told(summary: dict[str, Any], row: dict[str, Any]) -> str:
    """What the compared method was told of the users' own rules; "" for nothing."""
    told = summary["methods"][row["method"]]["card"]["told"]
    return f" It was told of the users: {'; '.join(told)}." if told else ""


def _room(summary: dict[str, Any]) -> str:
    """What policies earn that learn nothing online, from the least to the one that knows the simulator."""
    places = {name: method["card"]["landmark"] for name, method in summary["methods"].items()}
    earned = {
        name: summary["methods"][name]["mean_reward"]["mean"] for name, place in places.items() if place
    }
    ranked = sorted((name for name in earned if earned[name] is not None), key=lambda name: earned[name])
    methods = summary_methods(summary)
    ceilings = [name for name in ranked if places[name] == "ceiling"]
    simple = [name for name in ranked if places[name] == "simple"]
    if not ceilings or not simple:
        return ""
    shown = ", ".join(f"{methods[name].label} {earned[name]:.1f}" for name in ranked)
    share = summary["world"].get("item_mean_share")
    means = "" if share is None else f"; item means explain {share:.0%} of what ratings differ by"
    best, top = simple[-1], ceilings[-1]
    nearly = (
        f" {methods[best].label}, which learns nothing online, nearly reaches {methods[top].label}: "
        "this world tells little of learners."
        if earned[best] >= NEAR_TOP * earned[top] else ""
    )  # fmt: skip
    return f"The room this world leaves, in reward per session: {shown}{means}.{nearly}"
