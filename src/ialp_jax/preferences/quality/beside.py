"""What a table is worth beside popularity and the content judge on the same pairs, in words."""

from ialp_jax.preferences.quality.evaluation import TableQuality
from ialp_jax.preferences.quality.per_state import StateMean

CHANCE = 0.5


def comparisons(quality: TableQuality) -> list[str]:
    """A sentence on each ranker that a table must beat; none where no user has feedback that tells."""
    return [f"{auc_beside(over, name)}." for name, over in _rankers(quality).items()]


def losses(quality: TableQuality) -> list[str]:
    """Those of the comparisons that every reader of a result must know: the table is clearly worse."""
    return [
        f"{auc_beside(over, name)}."
        for name, over in _rankers(quality).items()
        if over.high is not None and over.high < 0.0
    ]


def _rankers(quality: TableQuality) -> dict[str, StateMean]:
    rankers = {"popularity": quality.over_popularity, "the content judge": quality.over_content}
    return {name: over for name, over in rankers.items() if over is not None and over.states}


def auc_beside(over: StateMean, name: str) -> str:
    """The paired difference of AUC (not unknown), its interval, and whether it is clear."""
    assert over.mean is not None
    if over.low is None or over.high is None:
        verdict = "one user does not tell"
    elif over.low <= 0.0 <= over.high:
        verdict = "not clearly different"
    else:
        verdict = "clearly better" if over.mean > 0 else "clearly worse"
    return (
        f"The table's AUC less that of {name} on the same pairs is {interval(over, signed=True)}: {verdict}"
    )


def interval(found: StateMean | None, signed: bool = False) -> str:
    """Mean and interval as they are shown."""
    if found is None or found.mean is None:
        return "unknown"
    form = "+.3f" if signed else ".3f"
    return f"{found.mean:{form}}" + (
        "" if found.low is None else f" [{found.low:{form}}, {found.high:{form}}]"
    )
