"""Lists the methods, or shows one: its options, stages, needs and where it is from."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ialp_jax.command_line import read

if TYPE_CHECKING:  # it imports JAX
    from ialp_jax.methods.registry import Registered


@dataclass(frozen=True)
class Methods:
    """Lists the methods that a study can compare, or shows what one of them is."""

    name: tyro.conf.Positional[str | None] = None
    """A method's name, or a .py file that registers one; all are listed if left out."""
    markdown: bool = False
    """Print all methods with their options as the page docs/methods.md."""


def run(arguments: Sequence[str]) -> None:
    """Prints a table of all methods, or what there is to know of one."""
    asked = read(Methods, arguments, "ialp methods")
    console = Console()
    if asked.markdown:
        print(page(), end="")
    elif asked.name is None:
        console.print(_all())
    else:
        _show(asked.name, console)


def page() -> str:
    """All methods with their cards and options, as docs/methods.md has them."""
    from ialp_jax.methods import get, names

    lines = [
        "# Methods",
        "",
        "Written by `ialp methods --markdown`; a test compares. Default methods have a star.",
        "",
    ]
    family = ""
    for entry in map(get, names()):
        if entry.card.family != family:
            family = entry.card.family
            lines += [f"## {family}", ""]
        lines += _section(entry)
    return "\n".join(lines).rstrip() + "\n"


def _section(entry: "Registered") -> list[str]:
    """The lines about one method."""
    from ialp_jax.study.config import StudyConfig
    from ialp_jax.study.stages import stages_of

    config, card = StudyConfig(methods=(entry.name,)), entry.card
    stages = " -> ".join(_stage(stage, config) for stage in stages_of(entry, config))
    source = f" From {card.paper}." if card.paper else ""
    lines = [
        f"### `{entry.name}`{' *' if card.default else ''}: {card.title}",
        "",
        f"{card.meaning[0].upper()}{card.meaning[1:]}.{source} File: `{_file(entry)}`. Stages and what they read: {stages}.",
        "",
        *_description(entry),
    ]
    own = f"--methods.{entry.name.replace('_', '-')}."
    options = [
        f"`{option.split('.', 2)[2]}` {value}" for option, value in _options(config) if option.startswith(own)
    ]
    return [*lines, ", ".join(options), ""] if options else lines


def _stage(stage: Any, config: Any) -> str:
    """Its name, what it reads, and its updates where they are its own; else the study's stream gives their number."""
    from ialp_jax.methods.base import Budget
    from ialp_jax.study.stages import learner_of

    read = sorted(need.label for need in stage.needs)
    own = [f"{learner_of(stage, 1, config).updates:,} updates"] if stage.budget is Budget.NONE else []
    return f"{stage.name} ({', '.join(read + own)})"


def _file(entry: "Registered") -> str:
    """Where the method is, from the package's folder."""
    return entry.options.__module__.replace(".", "/") + ".py"


def _description(entry: "Registered") -> list[str]:
    """What its class says: what it is, and what was decided where sources are silent; a line per paragraph."""
    paragraphs = (inspect.getdoc(entry.options) or "").split("\n\n")
    return [line for text in paragraphs for line in (" ".join(text.split()), "")]


def _options(config: Any) -> list[tuple[str, str]]:
    """Flags of the methods' options, and their defaults in words."""
    from ialp_jax.study.fields import fields_of, held

    shown = []
    for name in fields_of(config):
        if name.startswith("methods."):
            value = held(config, name)
            shown.append(
                (f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value))
            )
    return shown


def _all() -> Table:
    from ialp_jax.methods import get, names

    table = Table(
        "method",
        "what it is",
        "learns online",
        "by default",
        caption="ialp methods NAME shows one",
        box=SIMPLE_HEAD,
    )
    family = ""
    for name in names():
        card = get(name).card
        if card.family != family:
            family = card.family
            table.add_section()
            table.add_row(f"[bold]{escape(family)}[/bold]")
        table.add_row(
            f"  {name}",
            escape(card.meaning),
            *("yes" if flag else "" for flag in (card.learns_online, card.default)),
        )
    return table


def _show(reference: str, console: Console) -> None:
    from ialp_jax.methods import get
    from ialp_jax.study.config import StudyConfig
    from ialp_jax.study.stages import stages_of

    entry, config = get(reference), StudyConfig(methods=(reference,))
    console.print(f"[bold]{entry.name}[/bold]: {escape(entry.card.meaning)}", highlight=False)
    for line in _description(entry):
        console.print(escape(line), highlight=False)
    if entry.card.paper:
        console.print(f"from {escape(entry.card.paper)}", highlight=False)
    stages = Table(
        "stage", "needs", "starts from", "spends", title="in the order of training", title_justify="left"
    )
    for stage in stages_of(entry, config):
        needs = ", ".join(sorted(need.label for need in stage.needs)) + (
            ", offline logs" if stage.fitted else ""
        )
        starts = ", ".join(
            dict.fromkeys(getattr(start, "name", "untrained parameters") for start in stage.after)
        )
        stages.add_row(escape(stage.name), needs, escape(starts or "nothing"), f"{stage.budget.value} steps")
    console.print(stages)
    options = Table(
        "option", "default", title="options; those of methods that it builds on too", title_justify="left"
    )
    for option, default in _options(config):
        options.add_row(escape(option), escape(default))
    if options.row_count:
        console.print(options)
    for rival in entry.card.rivals:
        console.print(
            f"compared with {rival.other} on {rival.metric}: {rival.question}", highlight=False, markup=False
        )
