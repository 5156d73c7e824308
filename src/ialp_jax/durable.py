"""Files that outlast a loss of power: they lie on the disk before they get their name, and none is seen half removed.

Host only; knows nothing of what is in them.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

_NOT_WRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip
# Of polars, and of the tensorstore that orbax writes with.
_CODE = re.compile(r"os error (\d+)|os_error_code='(\d+)'")
_NOT_OFFERED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # some file systems flush no folders


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


def publish(temporary: Path, target: Path, workspace: Path) -> None:
    """Gives a finished file or folder its name; what had it before goes only when the new one is on the disk.

    A file takes another's place at once. A folder cannot: who is killed between two renames leaves none.

    Args:
        temporary: what was written, on the file system of `target`.
        target: its name from now on.
        workspace: a folder that is thrown away; what a folder `target` held goes there.
    """
    sync(temporary)
    if target.is_dir():
        os.replace(target, workspace / "replaced")
    os.replace(temporary, target)
    _flush_folder(target.parent)


def remove_tree(directory: Path) -> None:
    """Removes a folder, if it is there; it is renamed first, so that nobody sees a part of it under its name."""
    if not directory.is_dir():
        return
    workspace = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    os.replace(directory, workspace / directory.name)
    shutil.rmtree(workspace)


def remove_leftovers(directory: Path, names: Sequence[str]) -> None:
    """Removes what killed processes left half written or half removed.

    Args:
        directory: where they were at work; no other process may be.
        names: of what they wrote; patterns are allowed.
    """
    for name in names:
        for leftover in directory.glob(f".{name}.*"):
            if leftover.is_dir():
                shutil.rmtree(leftover)


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
