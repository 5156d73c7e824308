"""Hashes of the shards of a job that is not finished; the manifest of the finished table takes their place.

A hidden file beside each shard, written before the shard has its name: hidden files belong to no manifest.
"""

from collections.abc import Iterable
from pathlib import Path

from ialp_jax.artifacts import atomic_path, hash_file, require_unaltered

PATTERN = ".shard-*.sha256"


def note_hash(shard: Path, written: Path) -> None:
    """Notes what a shard will hold.

    Args:
        shard: the name that it will have.
        written: where its bytes are now.
    """
    with atomic_path(_note(shard)) as temporary:
        temporary.write_text(hash_file(written) + "\n", encoding="ascii")


def require_as_judged(shards: Iterable[Path]) -> None:
    """Checks shards against their notes; those without one, of earlier versions, are taken as they are.

    Raises:
        InputError: naming the first shard that holds something else.
    """
    for shard in shards:
        if (note := _note(shard)).exists():
            digest = note.read_text(encoding="ascii", errors="replace").strip()
            require_unaltered(shard.parent, {shard.name: digest}, "delete it and run the same command again")


def forget_hashes(directory: Path) -> None:
    """Removes the notes of all shards of a job."""
    for note in directory.glob(PATTERN):
        note.unlink()


def _note(shard: Path) -> Path:
    return shard.with_name(f".{shard.stem}.sha256")
