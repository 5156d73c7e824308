"""Hashes of the results in a folder whose other files and folders have their own: noted when they are finished, checked
where one of them is read.

Host only. Work that goes on in the folder takes the seal off before it changes anything, and puts it on again at its end.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ialp_jax.artifacts import (
    MANIFEST_NAME,
    InputError,
    Manifest,
    hash_file,
    load_manifest,
    require_unaltered,
    write_json,
    write_manifest,
)


def seal(
    folder: Path, kind: str, config: Any, names: Collection[str], parents: Mapping[str, str] | None = None
) -> None:
    """Notes the hashes of finished files.

    Args:
        folder: they lie in.
        kind: of results.
        config: what they are of.
        names: of the files, as far as they are there; hashes of all others are forgotten.
        parents: fingerprints of what they were made from.
    """
    write_manifest(folder, kind, config, parents, names=names)


def is_sealed(folder: Path) -> bool:
    """Whether there are hashes of what lies there; versions before wrote none."""
    return (folder / MANIFEST_NAME).exists()


def unseal(folder: Path) -> None:
    """Forgets the hashes: files are about to change."""
    (folder / MANIFEST_NAME).unlink(missing_ok=True)


def seal_again(folder: Path, kind: str, names: Collection[str]) -> None:
    """Notes the hashes of files that were made anew in a folder that is sealed; the others keep theirs."""
    if is_sealed(folder):
        manifest = _loaded(folder, kind)
        hashes = {name: hash_file(folder / name) for name in names if (folder / name).is_file()}
        write_json(folder / MANIFEST_NAME, replace(manifest, files=manifest.files | hashes).sealed())


def require_intact(folder: Path, kind: str, names: Collection[str], fix: str) -> None:
    """Checks files before they are read; where there are no hashes, or none of a file, nothing is checked.

    Args:
        folder: they lie in.
        kind: of results.
        names: of the files that are to be read; one that is not there is for its reader to miss.
        fix: what the user can do.

    Raises:
        InputError: naming the file that was altered, or the manifest if it is damaged.
    """
    if is_sealed(folder):
        hashes = _loaded(folder, kind).files
        present = [name for name in names if name in hashes and (folder / name).exists()]
        require_unaltered(folder, {name: hashes[name] for name in present}, fix)


def _loaded(folder: Path, kind: str) -> Manifest:
    try:
        return load_manifest(folder, kind)
    except InputError as error:
        fix = "put back a copy of it, or delete it: it holds hashes alone, without which the results are read unchecked"
        raise InputError(error.problem, file=error.file, fix=fix) from error
