"""The command line of a command that runs a study: what its environment, preset and methods say decides the rest."""

from collections.abc import Sequence
from typing import Any, TypeVar

from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.command_line import options_in, read, refuse_repeated
from ialp_jax.environments import Environment
from ialp_jax.methods.registry import with_foundations
from ialp_jax.study.config import StudyConfig, preset
from ialp_jax.study.renamed import new_names

Command = TypeVar("Command")
METHODS = "--methods"


def parse(
    command: type[Command], arguments: Sequence[str], prog: str, methods: Sequence[str] | None = None
) -> tuple[Command, str, Environment, StudyConfig]:
    """Parses a command line twice: environment, preset and methods decide what else there is, and its defaults.

    Args:
        command: dataclass of the command, with the fields `env`, `preset` and `study`.
        arguments: the words after the command's name.
        prog: its name in the help.
        methods: those whose options there are; None for what `--methods` says.

    Returns:
        The command, its environment's name and the environment, and the study as the preset has it.

    Raises:
        InputError: if there is no such environment or method, or an option is of another method or has another name now.
    """
    refuse_repeated(arguments)
    chosen = methods or _chosen(arguments)
    start = StudyConfig(methods=tuple(chosen)) if chosen else StudyConfig()
    _refuse_old_names(arguments)
    _refuse_idle_options(arguments, start)
    words = [word for word in arguments if word not in ("-h", "--help")]
    asked: Any = read(command, words, prog, command(study=start))  # type: ignore[call-arg]
    name, environment = environments.get(asked.env)
    study = preset(environment, asked.preset, start.methods)
    defaults = command(env=asked.env, preset=asked.preset, study=study)  # type: ignore[call-arg]
    return read(command, arguments, prog, defaults), name, environment, study


def _chosen(arguments: Sequence[str]) -> list[str]:
    """The words after `--methods`; tyro would have to know the methods' options to find them."""
    return next((values for flag, values in options_in(arguments) if flag == METHODS), [])


def _refuse_old_names(arguments: Sequence[str]) -> None:
    for flag in _names(arguments):
        name = flag.replace("-", "_")
        renamed = new_names(name) or new_names(name.replace("no_", "", 1))
        if renamed:
            flags = " and ".join("--" + new.replace("_", "-") for new in renamed)
            raise InputError("the option has another name now", column=f"--{flag}", fix=f"use {flags}")


def _refuse_idle_options(arguments: Sequence[str], config: StudyConfig) -> None:
    """An option of a method that is not run, which tyro would only call unknown."""
    offered = {entry.name for entry in with_foundations(config.methods)}
    for flag in _names(arguments):
        group, _, rest = flag.partition(".")
        method = rest.partition(".")[0].replace("-", "_")
        if group == "methods" and rest and method not in offered:
            raise InputError(f"{method} is not among the methods that are run ({', '.join(sorted(offered))})",
                             column=f"--{flag}", fix=f"add it to {METHODS}, or leave the option out")  # fmt: skip


def _names(arguments: Sequence[str]) -> list[str]:
    return [flag[2:] for flag, _ in options_in(arguments)]
