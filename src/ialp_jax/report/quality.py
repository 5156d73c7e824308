"""How good the preference table is, from the record `evaluate_table` left in `preferences.json`."""

from typing import Any

from ialp_jax.report.tables import cell, number

COLUMNS = {"judge": "this table", "content": "content judge", "popularity": "popularity"}
RIVALS = ("content", "popularity")
"""Columns whose AUC is taken from the table's, pair by pair; tables measured by versions before have no such numbers."""
MEASURES = {
    "auc": "AUC",
    "personal_auc": "AUC without item means",
    "ndcg": "NDCG@10",
    "popularity": "rank correlation with popularity",
    "position_bias": "rank correlation with the order asked, popularity held fixed",
}


def quality_digest(quality: dict[str, Any] | None) -> dict[str, Any] | None:
    """The numbers of `summary.json`: AUC of the table, the content judge and popularity, and two of the judge's own."""
    if quality is None:
        return None
    aucs = {f"{name}_auc": (quality[name] or {}).get("auc") for name in COLUMNS}
    mass = quality["label_mass"]
    return {
        **aucs,
        **{f"auc_over_{name}": quality.get(f"over_{name}") for name in RIVALS},
        "judge_personal_auc": quality["judge"]["personal_auc"],
        "label_mass": None if mass is None else mass["mean"],
        "calibration_error": quality["calibration"]["error"],
    }


def quality_table(quality: dict[str, Any] | None) -> dict[str, Any]:
    """The page's table: the judge beside what it must beat; `columns` and `rows` of (measure, values)."""
    if quality is None:
        return {"columns": [], "rows": []}
    present = [name for name in COLUMNS if quality[name] is not None]
    rows = [
        (label, [_with_interval(quality[name][measure]) for name in present])
        for measure, label in MEASURES.items()
    ]
    if "over_popularity" in quality:
        less = [_with_interval(quality[f"over_{name}"]) if name in RIVALS else "" for name in present]
        rows.insert(1, ("this table's AUC less theirs, same pairs", less))
    rows.append(
        ("different scores of a user's pairs", [f"{quality[name]['distinct']:.0%}" for name in present])
    )
    return {"columns": [COLUMNS[name] for name in present], "rows": rows}


def quality_facts(quality: dict[str, Any] | None, gate: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What has no peer to stand beside: the gate, label mass, calibration."""
    if quality is None or gate is None:
        return []
    mass, calibration = quality["label_mass"], quality["calibration"]
    lines = [
        ("gate", "passed" if gate["passed"] else f"not passed, by choice: {' '.join(gate['failures'])}"),
        ("users with held-out feedback among their judged items", str(quality["judge"]["auc"]["states"])),
        (
            "rank correlation of held-out feedback with popularity",
            number(quality["held_out_popularity"]["mean"]),
        ),
        ("expected calibration error", number(calibration["error"])),
        ("share of judged pairs with held-out feedback", number(calibration["base_rate"])),
    ]
    if mass is not None:
        lines.append(("label mass (mean, 5th percentile)", f"{number(mass['mean'])}, {number(mass['low'])}"))
    return lines


def _with_interval(found: dict[str, Any] | None) -> str:
    shown = cell(found)
    return f"{shown.value} {shown.interval}".rstrip()
