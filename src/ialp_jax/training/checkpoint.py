"""Checkpoints of a whole run state. The only importer of orbax."""

import logging
import shutil
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from ialp_jax.artifacts import InputError
from ialp_jax.training.distributed import barrier, is_primary

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax reports every save at INFO and WARNING

MEANING = 4  # raised when the same arrays come to mean something else, so that older checkpoints are refused


class CheckpointStore:
    """Numbered checkpoints in one directory; only the newest is kept, and only once it is complete.

    Where there are several processes, all save and restore together, in one directory that all can reach.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()  # orbax wants absolute paths

    def latest(self) -> int | None:
        """Number of the newest complete checkpoint, None if there is none."""
        if not self._directory.is_dir():
            return None
        # orbax writes under a temporary name that is no number, and renames at the end
        numbers = [int(path.name) for path in self._directory.iterdir() if path.name.isdigit()]
        return max(numbers, default=None)

    def save(self, number: int, tree: Any) -> None:
        """Writes a checkpoint, then removes the older ones and what interrupted saves have left."""
        self._directory.mkdir(parents=True, exist_ok=True)
        ocp.save(self._directory / f"{number:010d}", _storable(tree), overwrite=True)
        if is_primary():
            for path in self._directory.iterdir():
                if path.name != f"{number:010d}":
                    shutil.rmtree(path)
        barrier("checkpoint written")

    def restore(self, number: int, like: Any) -> Any:
        """Reads a checkpoint into the shapes, types and shardings of `like`.

        Raises:
            InputError: if its arrays are others.
        """
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), _storable(like)
        )
        try:
            stored = ocp.load(self._directory / f"{number:010d}", abstract)
        except ValueError as error:
            raise InputError(f"the checkpoint is not of this version's run state ({str(error).splitlines()[0]})",
                             file=self._directory, fix="start anew, or resume with the version that wrote it",
                             ) from error  # fmt: skip
        leaves, structure = jax.tree.flatten(like)
        return jax.tree.unflatten(structure, [stored.get(_name(i), leaf) for i, leaf in enumerate(leaves)])

    def clear(self) -> None:
        """Removes every checkpoint."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _storable(tree: Any) -> dict[str, Any]:
    """Leaves by position; orbax refuses arrays without elements, which hold nothing to store."""
    return {_name(i): leaf for i, leaf in enumerate(jax.tree.leaves(tree)) if leaf.size}


def _name(position: int) -> str:
    return f"{MEANING}.{position}"
