"""How a report shows a method: its name for people, its family and its line, all made from its card."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ialp_jax.report.cards import Card

Dash = str | tuple[float, tuple[float, ...]]
GREY = "#8A8A8A"
FAMILY_SHADES = (
    ("#0072B2", "#98AFCE", "#5F8CBD"),
    ("#D55E00", "#E19D8A", "#A84800"),
    ("#009E73", "#81B9A0", "#007353"),
    ("#CC79A7", "#8D5273", "#D69DBB"),
    ("#E69F00", "#885D00", "#B77E00"),
    ("#8C7BD0", "#B0A7DC", "#695C9D"),
    ("#56B4E9", "#306B8C", "#4491BC"),
    ("#A9702A", "#C6A893", "#8A5B21"),
)
"""A hue per family, the first ones Okabe and Ito's colour-blind safe ones, each in three steps of lightness that are
readable on white and on dark paper."""
DASHES: tuple[Dash, ...] = (
    (0, (5, 1.5)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)), (0, (2.5, 1)), (0, (9, 2)), (0, (6, 1.2, 1, 1.2, 1, 1.2)),
    (0, (3, 1.2, 3, 1.2, 1, 1.2)),
)  # fmt: skip
"""So that a line can be told without its colour. Learners have the solid line besides. Neither number, seven or eight,
has a factor in common with that of the shades: lines of one family that share a dash differ in lightness."""


@dataclass(frozen=True)
class Method:
    """One row of the table and one line of the curves.

    Attributes:
        name: as in `results.json`.
        label: for people.
        family: methods of one family are shown together.
        colour: the family's hue, in a lightness of the method's own.
        dash: matplotlib line style.
        frozen: True if nothing is learnt online; drawn as a level, not a curve.
        meaning: one line for the table's legend.
        reference: True if it is repeated in the pictures of other families.
    """

    name: str
    label: str
    family: str
    colour: str
    dash: Dash
    frozen: bool
    meaning: str
    reference: bool


def described(cards: Mapping[str, Card]) -> dict[str, Method]:
    """Method by name, in the report's order.

    Families stand in the order in which they first appear in `cards`, methods of one family in the order of `cards`.
    """
    families: dict[str, list[str]] = {}
    for name, card in cards.items():
        families.setdefault(card["family"], []).append(name)
    return {
        name: _method(name, cards[name], FAMILY_SHADES[hue % len(FAMILY_SHADES)], place)
        for hue, names in enumerate(families.values())
        for place, name in enumerate(names)
    }


def by_family(methods: Iterable[Method]) -> list[tuple[str, list[Method]]]:
    """Each family and its methods, in the order given."""
    families: dict[str, list[Method]] = {}
    for method in methods:
        families.setdefault(method.family, []).append(method)
    return list(families.items())


def _method(name: str, card: Card, shades: tuple[str, ...], place: int) -> Method:
    dashes = ("-", *DASHES) if card["learns_online"] else DASHES
    paper = f" ({card['paper']})" if card["paper"] else ""
    told = f". Told of the users: {'; '.join(card['told'])}" if card["told"] else ""
    return Method(
        name=name,
        label=card["title"],
        family=card["family"],
        colour=shades[place % len(shades)],
        dash=dashes[place % len(dashes)],
        frozen=not card["learns_online"],
        meaning=card["meaning"] + paper + told,
        reference=card["reference"],
    )
