"""What a judge answers that is asked for one of two words."""

import re
from collections import Counter
from collections.abc import Sequence

LEAST_MASS = 0.5
"""Mean probability that the labels must have together."""
COMMONEST = 3
ANSWER_LENGTH = 20
"""Answers that are shown, and their letters."""
_QUOTED = re.compile(r"'([^']*)'")


def in_words(labels: Sequence[str], answers: Sequence[tuple[str, float]]) -> str:
    """The labels and the commonest answers.

    Args:
        labels: that were asked for.
        answers: beginnings of answers, with their shares.
    """
    asked = " or ".join(f'"{label}"' for label in labels)
    said = ", ".join(f'"{answer}" ({share:.0%})' for answer, share in answers)
    return f"Asked for {asked}, it most often answered {said}."


def commonest(raw: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Beginnings of the commonest of raw answers, with their shares.

    Of what a server said, which is kept in quotes with remarks behind it, the words in the quotes.
    """
    counts = Counter(_said(answer)[:ANSWER_LENGTH] for answer in raw)
    return tuple((answer, count / len(raw)) for answer, count in counts.most_common(COMMONEST))


def _said(raw: str) -> str:
    quoted = _QUOTED.match(raw)
    return raw if quoted is None else quoted[1]
