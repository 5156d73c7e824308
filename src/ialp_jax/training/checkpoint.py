"""Checkpoints of a whole run state. The only importer of orbax."""

import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from ialp_jax.artifacts import (
    MANIFEST_NAME,
    InputError,
    load_manifest,
    read_manifest,
    write_manifest,
    writing,
)
from ialp_jax.durable import SAVING, free_name, publish, remove_leftovers, remove_tree
from ialp_jax.training.distributed import agreed, barrier, is_primary

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax reports every save at INFO and WARNING

MEANING = 4  # raised when the same arrays come to mean something else, so that older checkpoints are refused
KIND = "run state"
COMPLETE = "commit_success.txt"  # orbax writes it last
NUMBER = re.compile(r"[0-9]{10,}")
NONE, REFUSED = -1, -2  # what the first process says in place of a number


class CheckpointStore:
    """Numbered checkpoints in one directory, each with a manifest of its files' hashes; the newest two are kept.

    A checkpoint is on the disk before it gets its number, and an older one goes only then. What has no manifest of this
    store's owner is never trusted, nor removed, whatever its name. Where there are several processes, all save and
    restore together, in one directory that all can reach.
    """

    def __init__(self, directory: Path, owner: str) -> None:
        """Opens a directory, which need not exist.

        Args:
            directory: of this store alone.
            owner: key of what the run states are of; those of another are not restored.
        """
        self._directory = directory.resolve()  # orbax wants absolute paths
        self._owner = owner
        self._trusted: int | None = None  # the newest number that was verified or written here

    def latest(self, warn: Callable[[str], None]) -> int | None:
        """Number of the newest checkpoint whose every file is as it was written, None if there never was one.

        Args:
            warn: told of each newer one that is damaged or somebody else's, and is therefore passed over.

        Raises:
            InputError: if there are checkpoints, but none can be trusted.
        """
        number, refusal = NONE, None
        if is_primary():
            try:
                number = self._newest_trusted(warn)
            except InputError as error:
                number, refusal = REFUSED, error
        number = agreed(number)  # one process looks, and all take what it has found
        if number == REFUSED:
            raise refusal or self._refusal("the first process trusts none of its run states")
        self._trusted = None if number == NONE else number
        return self._trusted

    def save(self, number: int, tree: Any) -> None:
        """Writes a checkpoint, then removes all older ones but the newest, and what interrupted saves have left.

        Raises:
            InputError: if it cannot be written; those from before are left as they were.
        """
        target = self._folder(number)
        with writing(target):
            self._save(number, target, tree)
        self._trusted = number
        barrier("checkpoint written")

    def _save(self, number: int, target: Path, tree: Any) -> None:
        workspace = target.with_name(f".{target.name}{SAVING}")
        if is_primary():
            self._directory.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._directory)
            workspace.mkdir()
        barrier("the checkpoint has a place")
        ocp.save(workspace / target.name, _storable(tree))
        if is_primary():
            self._seal(workspace / target.name, number)
            if os.path.lexists(target) and not self._is_own(number):
                os.replace(target, free_name(target))
            publish(workspace / target.name, target, workspace)
            shutil.rmtree(workspace)  # hidden already: no other name is needed, which nobody would look for
            for other in self._numbers():
                if other not in (number, self._trusted) and self._is_own(other):
                    remove_tree(self._folder(other))

    def restore(self, number: int, like: Any) -> Any:
        """Reads a checkpoint that `latest` has verified into the shapes, types and shardings of `like`.

        Raises:
            InputError: if its arrays are others.
        """
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), _storable(like)
        )
        try:
            stored = ocp.load(self._folder(number), abstract)
        except ValueError as error:
            raise InputError(f"the checkpoint is not of this version's run state ({str(error).splitlines()[0]})",
                             file=self._directory, fix="start anew, or resume with the version that wrote it",
                             ) from error  # fmt: skip
        leaves, structure = jax.tree.flatten(like)
        return jax.tree.unflatten(structure, [stored.get(_name(i), leaf) for i, leaf in enumerate(leaves)])

    def adopt(self) -> bool:
        """Gives manifests to complete checkpoints that a version without them wrote; whether there were any.

        The caller must know from elsewhere that they are this owner's. Only the first process may call it.
        """
        numbers = [number for number in self._numbers() if (self._folder(number) / COMPLETE).is_file()
                   and not (self._folder(number) / MANIFEST_NAME).exists()]  # fmt: skip
        for number in numbers:
            self._seal(self._folder(number), number)
        return bool(numbers)

    def _folder(self, number: int) -> Path:
        return self._directory / f"{number:010d}"

    def _numbers(self) -> list[int]:
        """Of all that has a checkpoint's name, whosever it is, from the newest."""
        if not self._directory.is_dir():
            return []
        names = [entry.name for entry in self._directory.iterdir()]
        numbers = [int(name) for name in names if NUMBER.fullmatch(name)]
        return sorted((number for number in numbers if self._folder(number).name in names), reverse=True)

    def _newest_trusted(self, warn: Callable[[str], None]) -> int:
        problems: list[str] = []
        for number in self._numbers():
            try:
                self._verify(number)
            except InputError as error:
                problems.append(f"{error.file}: {error.problem}")
                continue
            for problem in problems:
                warn(
                    f"a run state cannot be trusted ({problem}); the one before it is taken: {self._folder(number)}"
                )
            return number
        if problems:
            raise self._refusal(f"none of its run states can be trusted ({'; '.join(problems)})")
        return NONE

    def _refusal(self, problem: str) -> InputError:
        return InputError(problem, file=self._directory,
                          fix="put back a copy of this folder, or delete it: what it held is then trained anew")  # fmt: skip

    def _verify(self, number: int) -> None:
        """Raises `InputError` unless every file is there and as it was written, and of this owner."""
        folder = self._folder(number)
        if folder.is_symlink() or not folder.is_dir():
            raise InputError("it is no folder", file=folder, fix="delete it")
        if not (folder / MANIFEST_NAME).is_file():
            raise InputError("it has no manifest of hashes", file=folder, fix="delete it")
        said = read_manifest(folder, KIND, closed=True).config
        if said != self._config(number):
            raise InputError(
                f"it is of another run: {said}, not {self._config(number)}", file=folder, fix="delete it"
            )

    def _is_own(self, number: int) -> bool:
        """Whether a checkpoint was written by this store's owner, be it damaged or not."""
        folder = self._folder(number)
        if folder.is_symlink() or not (folder / MANIFEST_NAME).is_file():
            return False
        try:
            return load_manifest(folder, KIND).config == self._config(number)
        except InputError:
            return False

    def _seal(self, folder: Path, number: int) -> None:
        write_manifest(folder, KIND, self._config(number))

    def _config(self, number: int) -> dict[str, Any]:
        return {"owner": self._owner, "updates": number}


def _storable(tree: Any) -> dict[str, Any]:
    """Leaves by position; orbax refuses arrays without elements, which hold nothing to store."""
    return {_name(i): leaf for i, leaf in enumerate(jax.tree.leaves(tree)) if leaf.size}


def _name(position: int) -> str:
    return f"{MEANING}.{position}"
