"""Beginnings of a text that an item's title goes on: what a user liked, in words, and the same about nobody.

No question is asked and no answer has a form, so that a language model serves that follows no instruction.
"""

from collections.abc import Sequence
from typing import Literal

from ialp_jax.artifacts import fingerprint
from ialp_jax.preferences.prompting.prompts import MARKERS, TITLE_LENGTH, template, title_text

VERSION = 1
Framing = Literal["sentence", "list"]


def frame(domain: str, framing: Framing, titles: Sequence[str]) -> str:
    """What stands before a title, without the space between.

    Args:
        domain: a key of `prompts.TEMPLATES`.
        framing: a sentence about a person, or a list of favourites.
        titles: of what was liked, the best liked last; none for the same words about nobody.
    """
    words = template(domain)
    if framing == "list":
        return f"Favourite {words.items}:{''.join(f' {title},' for title in titles)}"
    if not titles:
        return f"A person also likes the {words.item}"
    named = f"{words.item} {titles[0]}" if len(titles) == 1 else f"{words.items} {_joined(titles)}"
    return f"A person who liked the {named} also likes the {words.item}"


def continuation(title: str) -> str:
    """A title as it goes on a frame."""
    return f" {title}"


def liked(items: Sequence[int], grades: Sequence[float], least_grade: float, most: int) -> list[int]:
    """The items of a history that are told as liked: the highest grades, the best liked last; of equal grades the latest.

    Args:
        items: the history, most recent last.
        grades: theirs, in [0, 1].
        least_grade: items of a lower one are not told.
        most: so many at most.
    """
    told = [(grade, place, item) for place, (item, grade) in enumerate(zip(items, grades, strict=True))]
    return [item for grade, _, item in sorted(told) if grade >= least_grade][-most:]


def frame_hash(domain: str) -> str:
    """Hash of all that stands before a title, and of how titles are cleaned."""
    sample = [frame(domain, framing, ["A", "B", "C"][:number])
              for framing in ("sentence", "list") for number in range(4)]  # fmt: skip
    return fingerprint(VERSION, sample, continuation("A"), MARKERS.pattern, title_text("a " * TITLE_LENGTH))


def _joined(titles: Sequence[str]) -> str:
    """A, B and C."""
    return f"{', '.join(titles[:-1])} and {titles[-1]}"
