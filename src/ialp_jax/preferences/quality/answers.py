"""What a judge answers that is asked for one of two words."""

from collections.abc import Sequence

LEAST_MASS = 0.5
"""Mean probability that the labels must have together."""
COMMONEST = 3
ANSWER_LENGTH = 20
"""Answers that are shown, and their letters."""


def in_words(labels: Sequence[str], answers: Sequence[tuple[str, float]]) -> str:
    """The labels and the commonest answers.

    Args:
        labels: that were asked for.
        answers: beginnings of answers, with their shares.
    """
    asked = " or ".join(f'"{label}"' for label in labels)
    bare = [(answer.strip("'"), share) for answer, share in answers]  # what a server said is kept in quotes
    said = ", ".join(f'"{answer}" ({share:.0%})' for answer, share in bare)
    return f"Asked for {asked}, it most often answered {said}."
