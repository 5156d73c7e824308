"""The one way in which a command reads its words: every option once, with all its values, each in its range."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from ialp_jax.artifacts import InputError
from ialp_jax.marks import MayBeEmpty, leaves, marks_on
from ialp_jax.values import check_values, checked_as_a_whole

Command = TypeVar("Command")
Option = tuple[str, list[str]]
"""An option as it is written, and the words that follow it."""


def read(
    command: Callable[..., Command], arguments: Sequence[str], prog: str, default: Command | None = None
) -> Command:
    """A command from its words.

    Args:
        command: dataclass of the command.
        arguments: the words after its name.
        prog: its name in the help.
        default: values of what is left out; the fields' own if None.

    Raises:
        InputError: naming the option, if one is given twice, a list without values, or a value is out of its range.
    """
    refuse_repeated(arguments)
    given: dict[str, Any] = {} if default is None else {"default": default}
    with checked_as_a_whole():
        asked: Command = tyro.cli(command, args=arguments, prog=prog, **given)
    _refuse_bare_lists(asked, arguments)
    check_values(asked)
    return asked


def refuse_repeated(arguments: Sequence[str]) -> None:
    """Refuses an option that is given twice: the parser would keep the last one and drop the others.

    Raises:
        InputError: naming the option and what was given each time.
    """
    given: dict[str, list[Option]] = {}
    for option in options_in(arguments):
        given.setdefault(key_of(option[0]), []).append(option)
    for key, times in given.items():
        if len(times) > 1:
            said = " and as ".join(" ".join([flag, *values]) for flag, values in times)
            several = any(values for _, values in times)
            fix = "give it once" + (
                f", with all its values after one --{key} if it takes several" if several else ""
            )
            raise InputError(f"it is given {len(times)} times, as {said}", column=f"--{key}", fix=fix)


def options_in(arguments: Sequence[str]) -> list[Option]:
    """The options among words, in order; what stands before the first one belongs to none."""
    found: list[Option] = []
    for word in arguments:
        if word == "--":
            break
        if word.startswith("--"):
            flag, given, value = word.partition("=")
            found.append((flag, [value] if given else []))
        elif found and word != "-h":
            found[-1][1].append(word)
    return found


def key_of(flag: str) -> str:
    """What an option is about: `--a.no-b_c` and `--a.b-c` are about a.b-c."""
    *groups, last = flag.removeprefix("--").replace("_", "-").split(".")
    return ".".join([*groups, last.removeprefix("no-")])


def without(arguments: Sequence[str], *keys: str) -> list[str]:
    """The words without these options and their values."""
    kept, dropped = [], False
    for word in arguments:
        if word.startswith("--"):
            dropped = key_of(word.partition("=")[0]) in keys
        if not dropped:
            kept.append(word)
    return kept


def _refuse_bare_lists(asked: Any, arguments: Sequence[str]) -> None:
    """A list whose values were forgotten is read as none at all."""
    bare = {key_of(flag) for flag, values in options_in(arguments) if not values}
    for leaf in leaves(asked):
        key = key_of(leaf.name)
        if key in bare and leaf.value == ():
            marks = marks_on(leaf.owner.__class__).get(leaf.path[-1], ())
            empty = (
                ", or none for an empty list" if any(isinstance(mark, MayBeEmpty) for mark in marks) else ""
            )
            raise InputError(
                "no value follows it", column=f"--{key}", fix=f"give one or more{empty}, or leave it out"
            )
