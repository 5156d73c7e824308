"""The card of a method: all that a report says of it, as the study wrote it beside the method's results."""

from pathlib import Path
from typing import Any, TypedDict

from ialp_jax.artifacts import InputError

FIX = "run it again with the version that made the card, or delete the card"
NO_FAMILY = "other"


class Rival(TypedDict):
    """A comparison to make: the card's method minus `other` on `metric`; `question` is what it answers.

    `premise` may be missing: what the comparison shows to pay or not, with which the page then opens.
    """

    other: str
    metric: str
    question: str
    premise: str


class Card(TypedDict):
    """What a report says of one method.

    `title`, `meaning`, `family` and `learns_online` are needed. `rivals`, `curves` (name in `curves.npz` -> title of
    its axis), `reference` (repeated in the pictures of other families), `landmark` ("floor", "simple" or "ceiling": its
    part in the room that a world leaves), `paper` and `told` (what it was told of the users' own rules) may be missing in
    the file.
    """

    title: str
    meaning: str
    family: str
    learns_online: bool
    rivals: list[Rival]
    curves: dict[str, str]
    reference: bool
    landmark: str
    paper: str
    told: list[str]


def unrecorded_card(name: str) -> Card:
    """Stands for the card of a result that was written before there were cards."""
    return Card(
        title=name,
        meaning="",
        family=NO_FAMILY,
        learns_online=True,
        rivals=[],
        curves={"weight": "weight of the pre-trained policy"},
        reference=False,
        landmark="",
        paper="",
        told=[],
    )


def read_card(stored: Any, name: str, file: Path, column: str) -> Card:
    """The card of method `name`, with what may be missing filled in; further fields are passed over.

    Args:
        stored: what the file has; None where it has no card.
        name: the method's.
        file: where it is stored, and `column` in it; both for the message of an error.
        column: see `file`.

    Raises:
        InputError: if a field is missing or of another type.
    """
    if stored is None:
        return unrecorded_card(name)
    at = _Place(file, column)
    fields = at.checked(stored, dict, "an object")
    learns_online = at.checked(fields.get("learns_online"), bool, "true or false", ".learns_online")
    return Card(
        title=at.text(fields, "title"),
        meaning=at.text(fields, "meaning"),
        family=at.text(fields, "family"),
        learns_online=learns_online,
        rivals=at.rivals(fields.get("rivals", [])),
        curves=at.curves(fields.get("curves", {})),
        reference=at.checked(fields.get("reference", False), bool, "true or false", ".reference"),
        landmark=at.checked(fields.get("landmark", ""), str, "text", ".landmark"),
        paper=at.checked(fields.get("paper", ""), str, "text", ".paper"),
        told=at.texts(fields, "told"),
    )


class _Place:
    """Where a card is stored, so that an error can say it."""

    def __init__(self, file: Path, column: str) -> None:
        self.file, self.column = file, column

    def checked(self, value: Any, kind: type, words: str, where: str = "") -> Any:
        """`value`, if it is of `kind`."""
        if not isinstance(value, kind):
            raise InputError(
                f"expected {words}, found {value!r}", file=self.file, column=self.column + where, fix=FIX
            )
        return value

    def text(self, fields: dict[str, Any], name: str, where: str = "") -> str:
        """A field that is text and not empty, on one line."""
        stored = self.checked(fields.get(name) or None, str, "text", f"{where}.{name}")
        return " ".join(stored.split())

    def texts(self, fields: dict[str, Any], name: str) -> list[str]:
        """A field that is a list of texts, or missing."""
        stored = self.checked(fields.get(name, []), list, "a list", f".{name}")
        return [self.checked(text, str, "text", f".{name}[{index}]") for index, text in enumerate(stored)]

    def rivals(self, stored: Any) -> list[Rival]:
        """The comparisons."""
        rivals = []
        for index, rival in enumerate(self.checked(stored, list, "a list", ".rivals")):
            where = f".rivals[{index}]"
            self.checked(rival, dict, "an object", where)
            names = {name: self.text(rival, name, where) for name in ("other", "metric", "question")}
            premise = self.checked(rival.get("premise", ""), str, "text", f"{where}.premise")
            rivals.append(Rival(other=names["other"], metric=names["metric"], question=names["question"],
                                premise=premise))  # fmt: skip
        return rivals

    def curves(self, stored: Any) -> dict[str, str]:
        """The names of the further curves and their titles."""
        self.checked(stored, dict, "an object", ".curves")
        return {name: self.text(stored, name, ".curves") for name in stored}
