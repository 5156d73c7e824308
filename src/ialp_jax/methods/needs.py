"""The inputs a stage may ask for, and what each gives away of the users."""

from enum import Enum

IMAGINED_RULES = "the departure rules, their window and the turn cap, for its imagined users"


class Need(Enum):
    """An input that a stage reads, prepared only where a chosen stage names it.

    `settings` are the groups of the study's configuration that this input alone is made from; a stage that does not
    need it does not change with them. `told` is what it gives away of the users' own rules.
    """

    USERS = ("users", ())
    """The users' world, where sessions are served."""
    TABLE_WORLD = ("table_world", ("preferences",), IMAGINED_RULES)
    """The preference table as a world of imagined users."""
    LOGS_WORLD = ("logs_world", ("logs_world", "factors"), IMAGINED_RULES)
    """The users whom the offline logs suggest, as a world."""
    MIXED_WORLD = ("mixed_world", ("preferences", "logs_world", "factors"), IMAGINED_RULES)
    """The table's imagined users, whose rewards are partly what their logs suggest."""
    PRIOR = ("prior", ("preferences", "prior"))
    """What the preference table says of every user and item."""
    RECORDED = ("recorded", ("logged",), "how recorded sessions of offline users went in their simulator")
    """Sessions of offline users under a stated logging policy, in their own simulator."""
    LOGS = ("logs", ())
    """The offline users' own interactions as sessions."""
    LIKENESS = (
        "likeness",
        ("likeness",),
        "that they leave after items too alike, but not by which distances",
    )
    """What the recommender holds alike, and keeps apart: sessions are served by that rule."""

    def __init__(self, label: str, settings: tuple[str, ...], told: str = "") -> None:
        self.label, self.settings, self.told = label, settings, told

    @property
    def imagines_users(self) -> bool:
        """Whether it is a world of imagined users."""
        return self.told == IMAGINED_RULES

    @property
    def rests_on_table(self) -> bool:
        """Whether the preference table's judgements are part of its cost."""
        return "preferences" in self.settings
