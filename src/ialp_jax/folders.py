"""A folder for results: whether it can be written, that one process at a time is at work in it, and making room there.

Host only.
"""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ialp_jax.artifacts import InputError, atomic_path, writing
from ialp_jax.durable import free_name, remove_abandoned, workspace

LOCK = ".lock"
ELSEWHERE = "give another place"


def require_writable(place: Path, column: str) -> None:
    """Checks, before any work, that a folder of results exists and can be written, or can be made.

    Args:
        place: the folder. It and the folders above it need not exist: they are made when the first file is written.
        column: the option that named it.

    Raises:
        InputError: if it or a folder above it is a file, or may not be written.
    """
    existing = next(path for path in (place, *place.absolute().parents) if os.path.lexists(path))
    name = "it" if existing == place else str(existing)
    if not existing.is_dir():
        what = "a file, not a folder" if existing.exists() else "a link to nothing"
        raise InputError(f"{name} is {what}", file=place, column=column, fix=f"{ELSEWHERE}, or move it away")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{name} may not be written", file=place, column=column,
                         fix=f"{ELSEWHERE}, or get the right to write there")  # fmt: skip


def require_writable_file(place: Path, column: str) -> None:
    """The same of one file of results, which may exist.

    Raises:
        InputError: if it is a folder, or the folder above it cannot be written or made.
    """
    if place.is_dir():
        raise InputError("it is a folder, not a file", file=place, column=column, fix="add a file's name")
    require_writable(place.absolute().parent, column)


@dataclass(frozen=True)
class Claim:
    """A folder that this process holds.

    Attributes:
        folder: for results.
        work: what this process does there.
        column: the option that named the folder.
    """

    folder: Path
    work: str
    column: str
    _stream: IO[str]

    def hold(self, shared: bool = False) -> None:
        """Holds the folder alone, or, where processes share the work, together with others that hold it so.

        Raises:
            InputError: if another process holds it; that one is named.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process is at work there ({_described(self._stream)}), so that {self.work} cannot be",
                             file=self.folder, column=self.column, fix=f"wait for it, or {ELSEWHERE}") from None  # fmt: skip
        except OSError as error:
            raise InputError(f"its file system keeps no locks ({error.strerror}), so that nothing would keep a second process "
                             "away", file=self.folder, column=self.column, fix=f"{ELSEWHERE}, on another disk") from error  # fmt: skip
        with writing(self.folder / LOCK):
            self._stream.truncate(0)
            self._stream.write(json.dumps(_holder(self.work)))
            self._stream.flush()


@contextmanager
def claimed(folder: Path, work: str, column: str = "--out", shared: bool = False) -> Iterator[Claim]:
    """Holds a folder for this process, and makes it where it is missing.

    The kernel lets go of it when the process ends, however it does; the file that names the holder stays.

    Args:
        folder: for results.
        work: what this process does there, for whoever else wants to.
        column: the option that named the folder.
        shared: whether other processes may hold it too, if they share the work as this one does.

    Raises:
        InputError: if it cannot be written, or another process holds it; that one is named.
    """
    require_writable(folder, column)
    with _opened(folder, column) as stream:
        claim = Claim(folder, work, column, stream)
        claim.hold(shared)
        remove_abandoned(folder.resolve().parent, folder.resolve().name)  # of `set_aside`
        yield claim


def require_free(folder: Path, work: str, column: str = "--out") -> None:
    """Checks, before any work, that a folder could be claimed; one that is not there is not made.

    Args:
        folder: for results.
        work: what this process is to do there.
        column: the option that named the folder.

    Raises:
        InputError: if it cannot be written, or another process holds it; that one is named.
    """
    require_writable(folder, column)
    if (folder / LOCK).exists():
        with claimed(folder, work, column):
            pass


def set_aside(folder: Path) -> Path:
    """Moves a folder to a free name beside it, at once, and leaves an empty one; who holds it still does.

    Returns:
        Where it lies now.

    Raises:
        InputError: if that cannot be; it lies where it lay, or the message says where.
    """
    place = folder.resolve()
    aside, moved = free_name(place), False
    try:
        with workspace(place) as unfinished:
            fresh = unfinished / place.name
            fresh.mkdir()
            fresh.chmod(place.stat().st_mode)
            if (place / LOCK).exists():
                os.link(place / LOCK, fresh / LOCK)  # the same file, hence the same lock
            os.replace(place, aside)
            moved = True
            try:
                os.replace(fresh, place)
            except OSError:
                os.replace(aside, place)
                moved = False
                raise
            (aside / LOCK).unlink(missing_ok=True)
    except OSError as error:
        if moved:
            raise InputError(f"what lay there lies whole in {aside} now, but its place could not be made ready "
                             f"({error.strerror})", file=folder, fix="run again") from error  # fmt: skip
        raise InputError(f"what lies there cannot be moved to {aside} ({error.strerror})", file=folder,
                         fix=ELSEWHERE) from error  # fmt: skip
    return aside


def _opened(folder: Path, column: str) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / LOCK, "a+", encoding="utf-8")
    except OSError as error:
        raise InputError(f"it cannot be made, or written to ({error.strerror})", file=folder, column=column,
                         fix=ELSEWHERE) from error  # fmt: skip


def _holder(work: str) -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "work": work,
    }


def _described(stream: IO[str]) -> str:
    """Who holds a lock, as its file says; the holder may not have written it yet."""
    stream.seek(0)
    try:
        said = json.load(stream)
        return f"{said['work']}, process {said['pid']} on {said['host']} since {said['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has not said which yet"


def copy_folders(made: Path, out: Path) -> None:
    """Copies the folders of one folder, which need not exist, into another, each whole or not at all, in the place of those of
    their names."""
    for folder in sorted(path for path in made.glob("*") if path.is_dir()):
        with atomic_path(out / folder.name) as temporary:
            shutil.copytree(folder, temporary)
