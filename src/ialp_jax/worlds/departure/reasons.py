"""The numbers by which results know why sessions ended."""

from collections.abc import Mapping

from ialp_jax.artifacts import InputError
from ialp_jax.worlds.departure.base import DepartureRule

NUMBERS = {"none": 0, "turn_cap": 5}
"""Of what is no rule: the session goes on; it was cut off."""


def numbered(rules: Mapping[str, type[DepartureRule]]) -> tuple[str, ...]:
    """Names of all reasons by number; rules without a number follow those with one, by name.

    Raises:
        InputError: if a rule has the name or the number of another reason, or a number would be left out.
    """
    numbers = dict(NUMBERS)
    for name, rule in sorted(rules.items(), key=lambda item: (item[1].number is None, item[0])):
        if name in NUMBERS:
            raise InputError(
                f"no departure rule can be called {name!r}", column="register", fix="choose another name"
            )
        number = len(numbers) if rule.number is None else rule.number
        if number in numbers.values():
            raise InputError(f"two reasons have the number {number}; one is the departure rule {name!r}", column="number",
                             fix="leave its number out")  # fmt: skip
        numbers[name] = number
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise InputError(
            f"the reasons' numbers have a gap: {numbers}", column="number", fix="leave the number out"
        )
    return tuple(sorted(numbers, key=numbers.__getitem__))
