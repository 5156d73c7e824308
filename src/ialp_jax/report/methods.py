"""What the report knows about a method: its name for people, its line, and whether it learns online."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Method:
    """One row of the table and one line of the curves.

    Attributes:
        name: as in `results.json`.
        label: for people.
        colour: from Okabe and Ito's colour-blind safe palette, readable on light and dark paper.
        dash: matplotlib line style, so that the line is known without its colour.
        frozen: True if nothing is learnt online; drawn as a level, not a curve.
        meaning: one line for the table's legend.
    """

    name: str
    label: str
    colour: str
    dash: str | tuple[int, tuple[int, ...]]
    frozen: bool
    meaning: str


KNOWN = (
    Method("random", "random", "#8A8A8A", (0, (1, 2)), True, "any allowed item, uniformly"),
    Method("popular", "popular", "#A9702A", (0, (4, 2)), True, "the offline users' most liked items"),
    Method("table_greedy", "table greedy", "#56B4E9", (0, (4, 2, 1, 2)), True,
           "the preference table's best item, no reinforcement learning"),
    Method("oracle", "oracle", "#8C7BD0", (0, (6, 3)), True,
           "knows the simulator, looks one step ahead at departures; not a bound"),
    Method("a2c", "A2C from scratch", "#0072B2", "-", False, "learns online only"),
    Method("ialp", "iALP, frozen", "#009E73", (0, (8, 2)), True,
           "pre-trained on the preferences, not adapted"),
    Method("a_ialp_ft", "A-iALP_ft", "#E69F00", (0, (7, 1, 1, 1)), False, "iALP, fine-tuned online"),
    Method("a_ialp_ap_mixture", "A-iALP_ap mixture", "#D55E00", (0, (5, 1)), False,
           "iALP mixed with an online policy"),
    Method("a_ialp_ap_value", "A-iALP_ap value", "#CC79A7", (0, (3, 1)), False,
           "iALP or an online policy, by their values"),
)  # fmt: skip
EXPECTED = tuple(method.name for method in KNOWN)


def describe(name: str) -> Method:
    """The known method, a variant of the longest known name it starts with (`ialp_shuffled`), or a stranger.

    A variant keeps its parent's colour and kind; a stranger is drawn as a learner in grey.
    """
    by_name = {method.name: method for method in KNOWN}
    if name in by_name:
        return by_name[name]
    parents = [method for method in KNOWN if name.startswith(method.name + "_")]
    if not parents:
        return Method(name, name, "#8A8A8A", (0, (2, 1)), False, "not one of the report's known methods")
    parent = max(parents, key=lambda method: len(method.name))
    variant = name.removeprefix(parent.name + "_").replace("_", " ")
    return replace(
        parent,
        name=name,
        label=f"{parent.label} ({variant})",
        dash=":",
        meaning=f"{parent.label}, variant: {variant}",
    )


def in_order(names: list[str]) -> list[Method]:
    """Descriptions of `names`: the known methods and their variants in the report's order, strangers last."""
    order = {name: place for place, name in enumerate(EXPECTED)}

    def place(method: Method) -> tuple[int, str]:
        parent = max((known for known in EXPECTED if method.name.startswith(known)), key=len, default="")
        return order.get(parent, len(order)), method.name

    return sorted((describe(name) for name in names), key=place)
