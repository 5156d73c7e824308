"""What a model says of a whole catalogue, kept in files between processes: made once for the same texts and model."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ialp_jax.artifacts import InputError, read_arrays, write_arrays


def cache_folder(cache: Path | None) -> Path:
    """The folder asked for, or this user's: $XDG_CACHE_HOME/ialp-jax, ~/.cache/ialp-jax where that is not set."""
    return cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ialp-jax"


def kept_arrays(
    folder: Path, name: str, shapes: Mapping[str, tuple[int, ...]], make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:  # fmt: skip
    """Reads named arrays, or makes and writes them, all or nothing; several processes may do so at once.

    Args:
        folder: where they lie.
        name: of the file, from a hash of all that decides what is in it.
        shapes: of the arrays, by name.
        make: makes them.

    Raises:
        InputError: naming the file, if it holds something else.
    """
    path = folder / f"{name}.npz"
    if not path.exists():
        made = dict(make())
        write_arrays(path, made)
        return made
    arrays = read_arrays(path)
    found = {key: array.shape for key, array in arrays.items()}
    if found != dict(shapes):
        raise InputError(
            f"it holds arrays {found}, not {dict(shapes)}", file=path, fix="delete it and run again"
        )
    return arrays
