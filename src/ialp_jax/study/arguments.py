"""The command line of a command that runs a study: what its environment and preset say are the defaults of the rest."""

from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from ialp_jax import environments
from ialp_jax.environments import Environment
from ialp_jax.study.config import StudyConfig, preset

Command = TypeVar("Command")


def parse(
    command: type[Command], arguments: Sequence[str], prog: str
) -> tuple[Command, str, Environment, StudyConfig]:
    """Parses a command line twice: the environment and the preset decide the defaults of everything else.

    Args:
        command: dataclass of the command, with the fields `env`, `preset` and `study`.
        arguments: the words after the command's name.
        prog: its name in the help.

    Returns:
        The command, its environment's name and the environment, and the study as the preset has it.

    Raises:
        InputError: if there is no such environment.
    """
    words = [word for word in arguments if word not in ("-h", "--help")]
    asked: Any = tyro.cli(command, args=words, prog=prog)
    name, environment = environments.get(asked.env)
    study = preset(environment, asked.preset)
    defaults = command(env=asked.env, preset=asked.preset, study=study)  # type: ignore[call-arg]
    return tyro.cli(command, args=arguments, default=defaults, prog=prog), name, environment, study
