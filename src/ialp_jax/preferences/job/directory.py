"""A job's directory: what may lie in it, and how another job's makes room."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ialp_jax import folders
from ialp_jax.artifacts import InputError, plain

# These follow from the other entries.
DERIVED = ("fingerprint", "requests", "statements", "statement")


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Which entries of two mappings differ, for a message; of the judge, which of its own."""
    wanted, names = plain(wanted), []
    for name, value in wanted.items():
        if name in DERIVED or found.get(name) == value:
            continue
        if name == "judge" and isinstance(found.get(name), Mapping):
            name = f"judge ({difference(found[name], value).removeprefix('other ')})"
        names.append(name)
    return f"other {', '.join(names)}" if names else "another layout"


def set_aside(directory: Path, reason: str, console: Console) -> Path:
    """Moves a job to a free name beside its directory, and says why."""
    aside = folders.set_aside(directory)
    console.print(f"{directory} held another preference job ({reason}); it was moved to {aside} and the job "
                  "starts anew.", style="yellow", markup=False)  # fmt: skip
    return aside


def refuse_strangers(directory: Path) -> None:
    """Raises `InputError` if the directory holds files of something else."""
    if directory.is_dir() and any(not name.startswith(".") for name in os.listdir(directory)):
        raise InputError("the directory holds files but no preference job", file=directory,
                         fix="name an empty or a new directory")  # fmt: skip
