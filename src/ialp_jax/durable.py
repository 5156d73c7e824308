"""Files that outlast a loss of power: they lie on the disk before they get their name, and none is seen half removed.

Host only; knows nothing of what is in them.
"""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NOT_WRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip
# Of polars, and of the tensorstore that orbax writes with.
_CODE = re.compile(r"os error (\d+)|os_error_code='(\d+)'")
_NOT_OFFERED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # some file systems flush no folders
UNFINISHED = ".unfinished"  # ends the names of folders for what is being written or removed
SAVING = ".saving"  # the same of run states, which several processes write together
_LEFT = re.compile(rf"[.](.+{UNFINISHED}|[0-9]{{10,}}{SAVING})")
_HELD = ".held"  # in such a folder: locked while the process lives that made it


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` for what is not finished; it is gone in the end.

    What killed processes left for the same target is removed first. The kernel tells it from what others are at work in.
    """
    remove_abandoned(target.parent, target.name)
    folder, descriptor = _new_workspace(target)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _new_workspace(target: Path) -> tuple[Path, int | None]:
    """A folder that is held, and the descriptor that holds it; None where the file system keeps no locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=UNFINISHED, dir=target.parent))
        # Who looked before it was held takes it for abandoned.
        with suppress(FileNotFoundError, BlockingIOError):
            descriptor = _hold(folder)
            if descriptor is None or (folder / _HELD).exists():
                return folder, descriptor
            os.close(descriptor)


def _hold(folder: Path) -> int | None:
    """Holds a folder until the descriptor is closed; None where the file system keeps no locks.

    Raises:
        BlockingIOError: if another process holds it.
    """
    descriptor = os.open(folder / _HELD, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove_abandoned(directory: Path, name: str = "") -> None:
    """Removes what killed processes left half written or half removed in a folder, as far as it can be removed.

    Args:
        directory: where they were at work; others may be. It need not exist.
        name: of what they were writing; "" for whatever it was.
    """
    for folder in _unfinished(directory, f".{name}." if name else "."):
        with suppress(OSError):  # somebody is at work there, or it may not be removed
            descriptor = _hold(folder)
            if descriptor is not None:
                try:
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(descriptor)


def _unfinished(directory: Path, start: str) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)
                    and entry.name.startswith(start) and entry.name.endswith(UNFINISHED)]  # fmt: skip
    except OSError:
        return []


def sync(path: Path) -> None:
    """Waits until a file, or a folder with all that lies in it, is on the disk. Links are left alone."""
    if not path.is_dir():
        _flush(path)
        return
    for root, _, names in os.walk(path, topdown=False):
        for name in names:
            if not os.path.islink(os.path.join(root, name)):
                _flush(Path(root) / name)
        _flush_folder(Path(root))


def publish(temporary: Path, target: Path, thrown: Path) -> None:
    """Gives a finished file or folder its name; what had it before goes only when the new one is on the disk.

    A file takes another's place at once. A folder cannot: who is killed between two renames leaves none.

    Args:
        temporary: what was written, on the file system of `target`.
        target: its name from now on.
        thrown: a folder that is thrown away; what a folder `target` held goes there.
    """
    sync(temporary)
    if target.is_dir():
        os.replace(target, thrown / "replaced")
    os.replace(temporary, target)
    _flush_folder(target.parent)


def remove_tree(directory: Path) -> None:
    """Removes a folder, if it is there; it is renamed first, so that nobody sees a part of it under its name."""
    if not directory.is_dir():
        return
    with workspace(directory) as going:
        os.replace(directory, going / directory.name)
        shutil.rmtree(going / directory.name)


def remove_leftovers(directory: Path) -> None:
    """Removes what killed processes left half written or half removed in a folder and in all below it.

    Args:
        directory: where they were at work; no other process may be. It need not exist.
    """
    for root, folders, _ in os.walk(directory):
        for name in filter(_LEFT.fullmatch, tuple(folders)):
            shutil.rmtree(Path(root) / name)
            folders.remove(name)


def says_unwritable(error: Exception) -> bool:
    """Whether an error says that the system would not have something written: no room, no permission, no folder.

    Native libraries raise what they like, with the system's code in the message; numpy's OSError of a short write has none.
    """
    code = error.errno if isinstance(error, OSError) else None
    said = _CODE.search(str(error))
    if code is None and said is not None:
        code = int(said[1] or said[2])
    return code in _NOT_WRITABLE or (code is None and type(error) is OSError)


def free_name(path: Path) -> Path:
    """A name beside `path` that nothing has: `path`.old-1, or the next number."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.old-{number}")):
        number += 1
    return aside


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(path: Path) -> None:
    try:
        _flush(path)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
