"""What a field of a configuration says of itself, beside its range.

    block_rows: Annotated[Count, Yardstick("it changes speed, not results")] = 256

Command line, sweeps and stage keys read these marks; none of them names a field.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, NamedTuple, get_type_hints

import tyro

_NAMED: type[Any] = type(tyro.conf.arg(name=""))


@dataclass(frozen=True)
class Yardstick:
    """May be set but not searched: the best value would be that of the kindest yardstick. `reason` says why."""

    reason: str


@dataclass(frozen=True)
class UsersWorld:
    """Decides who the users are: a grid may compare worlds; a search for the best must not choose the easiest."""


@dataclass(frozen=True)
class Only:
    """Has an effect only where another field of the same group, as fields are named, holds `value`."""

    field: str
    value: Any

    def met(self, held: Any) -> bool:
        """Whether a value of that other field gives this one an effect."""
        return bool(held == self.value)

    def __str__(self) -> str:
        return "none" if self.value is None else str(self.value)


@dataclass(frozen=True)
class OnlyAboveZero(Only):
    """Has an effect only where another field of the same group holds a number above 0."""

    value: float = 0.0

    def met(self, held: Any) -> bool:
        """Whether that number is above 0."""
        return bool(held > 0)

    def __str__(self) -> str:
        return "above 0"


@dataclass(frozen=True)
class Since:
    """Was added to a configuration that runs had been made with: while it holds `neutral`, all is as it was before.

    The key of a stage leaves such a field out while it does, so that older runs stay resumable.
    """

    neutral: Any


AUTO = "auto"


@dataclass(frozen=True)
class ByEvidence:
    """The value "auto" stands for one of two others: what logs say of it, or what the items' texts do.

    A study decides which before anything is made (`study/deciding.py`); `question`, "likeness" or "start", names what it is decided with.
    """

    question: str
    logs: Any
    texts: Any


@dataclass(frozen=True)
class MayBeEmpty:
    """A list that may be empty, which the word `none` alone says; a command line has no other way to."""


class Leaf(NamedTuple):
    """A field of a configuration that holds no further one.

    Attributes:
        name: dotted, as flags, files and messages have it.
        path: of attributes from the configuration to the field.
        owner: the dataclass that has it.
    """

    name: str
    path: tuple[str, ...]
    owner: Any

    @property
    def value(self) -> Any:
        """What it holds."""
        return getattr(self.owner, self.path[-1])


def leaves(owner: Any, name: tuple[str, ...] = (), path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """All of them, in the order of their definition."""
    for field in fields(owner):
        value, shown = getattr(owner, field.name), shown_name(type(owner), field.name)
        inner_name, inner_path = name + ((shown,) if shown else ()), (*path, field.name)
        if is_dataclass(value):
            yield from leaves(value, inner_name, inner_path)
        else:
            yield Leaf(".".join(inner_name), inner_path, owner)


def shown_name(owner: Any, field: str) -> str:
    """A field's name in flags, files and messages: its own, or what `tyro.conf.arg(name=...)` says; "" for none.

    The fields of a group without a name are named as if they stood beside the group.
    """
    return next(
        (
            mark.name
            for mark in marks_on(owner).get(field, ())
            if isinstance(mark, _NAMED) and mark.name is not None
        ),
        field,
    )


@lru_cache(maxsize=256)
def marks_on(owner: Any) -> dict[str, tuple[Any, ...]]:
    """What stands in `Annotated` on the fields of a dataclass, by field."""
    hints = get_type_hints(owner, include_extras=True)
    return {field.name: getattr(hints[field.name], "__metadata__", ()) for field in fields(owner)}
