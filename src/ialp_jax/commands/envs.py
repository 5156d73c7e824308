"""Lists the environments."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ialp_jax import environments
from ialp_jax.command_line import read


@dataclass(frozen=True)
class Envs:
    """Lists the environments that can be trained on."""


def run(arguments: Sequence[str]) -> None:
    """Prints a table of all environments."""
    read(Envs, arguments, "ialp envs")
    table = Table("environment", "reads logs", "domain", "description")
    for name in environments.names():
        _, environment = environments.get(name)
        texts = escape(environment.domain), escape(environment.description)
        table.add_row(escape(name), "yes" if environment.load else "no", *texts)
    Console().print(table)
