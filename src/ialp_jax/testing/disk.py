"""The file operations of this process, one of which fails: a disk that is full, power that is lost, a process killed.

A killed process is played within this one: after the fault no operation has any effect.
"""

import builtins
import errno
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from ialp_jax.values import checked

Fault = Literal["killed", "killed within", "power lost", "disk full", "permission lost"]
FAULTS: tuple[Fault, ...] = ("killed", "killed within", "power lost", "disk full", "permission lost")
_ERRORS = {"disk full": errno.ENOSPC, "permission lost": errno.EACCES}
_REFUSED = {"disk full": ("create", "mkdir", "link", "write", "native", "flush"),
            "permission lost": ("create", "mkdir", "native", "rename", "link", "remove")}  # fmt: skip
_PATCHED = {
    "replace": "rename",
    "rename": "rename",
    "link": "link",
    "mkdir": "mkdir",
    "unlink": "remove",
    "remove": "remove",
    "rmdir": "remove",
}
Native = tuple[Any, str]
TEMPORARY = re.compile(r"(?<=^[.]).*[.]\w{8}[.]unfinished$")  # of `durable.workspace`


class Killed(BaseException):
    """The process that is played has ended."""


def applies(fault: Fault, operation: str) -> bool:
    """Whether a fault is another than none at an operation, named as in `Disk.operations`."""
    kind = operation.partition(" ")[0]
    if fault == "killed within":
        return kind in ("write", "native")
    return fault not in _REFUSED or kind in _REFUSED[fault]


@dataclass
@checked
class Disk:
    """The operations on files of one attempt, and where the fault is.

    Attributes:
        root: of the files that are watched; others are left alone.
        at: number of the operation that the fault is at; None for none.
        fault: what happens there, and from there on.
        operations: those done so far, each a kind and a name.
    """

    root: Path
    at: int | None = None
    fault: Fault = "killed"
    operations: list[str] = field(default_factory=list)
    _dead: bool = False
    _native: bool = False
    _flushed: set[int] = field(default_factory=set)  # inodes

    def __post_init__(self) -> None:
        self._flushed = {path.stat().st_ino for path in self._files()}

    def watches(self, path: Path) -> bool:
        """Whether an operation on a file goes through here."""
        return not self._native and path.is_relative_to(self.root)

    def do(
        self, kind: str, path: Path, effect: Callable[[], Any], half: Callable[[], Any] | None = None
    ) -> Any:
        """Does one operation, or has it fail; `half` does a part of it, where a killed process can leave one."""
        if self._dead:
            raise Killed
        operation = f"{kind} {TEMPORARY.sub('*', path.name)}"
        if kind != "write" or self.operations[-1:] != [operation]:  # a file's writes in a row are one
            self.boundary(len(self.operations))
            self.operations.append(operation)
        number = len(self.operations) - 1
        if self.at is not None and number >= self.at:
            if self.fault not in _ERRORS:
                self._die(half)
            if kind in _REFUSED[self.fault]:
                raise OSError(_ERRORS[self.fault], os.strerror(_ERRORS[self.fault]), str(path))
        return effect()

    def boundary(self, number: int) -> None:
        """Told before an operation of this number; the end is one too. For who looks at what there is until then."""

    def native(self, path: Path, write: Callable[[], Any]) -> Any:
        """Does what writes files without Python's knowing, as one operation; its half leaves half of every file."""

        def whole() -> Any:
            self._native = True
            try:
                return write()
            finally:
                self._native = False
                for file in self._files(path):
                    self.note_written(file.stat())

        def half() -> None:
            whole()
            lose(self._files(path))

        return self.do("native", path, whole, half)

    def end(self) -> None:
        """The work is done; the fault may be here."""
        self.boundary(len(self.operations))
        if self.at == len(self.operations) and self.fault not in _ERRORS:
            self._die(None)

    def note_flushed(self, status: os.stat_result) -> None:
        """The content of a file is on the disk."""
        self._flushed.add(status.st_ino)

    def note_written(self, status: os.stat_result) -> None:
        """The content of a file is not, or no longer."""
        self._flushed.discard(status.st_ino)

    def _die(self, half: Callable[[], Any] | None) -> None:
        if self.fault == "killed within" and half is not None:
            half()
        self._dead = True
        if self.fault == "power lost":
            lose(self.unflushed())
        raise Killed

    def unflushed(self) -> list[Path]:
        """The files whose contents a loss of power takes; names are kept."""
        return [path for path in self._files() if path.stat().st_ino not in self._flushed]

    def _files(self, root: Path | None = None) -> list[Path]:
        """The files in a folder, or a file itself."""
        place = root or self.root
        paths = [place] if place.is_file() else list(place.rglob("*"))
        return [path for path in paths if path.is_file() and not path.is_symlink()]


def lose(paths: Sequence[Path]) -> None:
    """Takes half of what is in these files."""
    for path in paths:
        os.truncate(path, path.stat().st_size // 2)


class _File:
    """A file whose writes are operations."""

    def __init__(self, stream: Any, disk: Disk, path: Path) -> None:
        self._stream, self._disk, self._path = stream, disk, path

    def write(self, data: Any) -> Any:
        """Writes, as one operation."""

        def half() -> None:
            self._stream.write(data[: len(data) // 2])
            self._stream.flush()

        self._disk.note_written(os.fstat(self._stream.fileno()))
        return self._disk.do("write", self._path, lambda: self._stream.write(data), half)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def watched(disk: Disk, natives: Sequence[Native] = ()) -> Iterator[None]:
    """Has the operations of this process under `disk.root` go through it; not for several threads that write."""
    with ExitStack() as stack:
        for name, kind in _PATCHED.items():
            stack.enter_context(patch.object(os, name, _counted(disk, kind, getattr(os, name))))
        stack.enter_context(patch.object(os, "fsync", _flushing(disk, os.fsync)))
        opening = _opening(disk, builtins.open)
        for module in (builtins, io):
            stack.enter_context(patch.object(module, "open", opening))
        for owner, name in natives:
            stack.enter_context(patch.object(owner, name, _native(disk, getattr(owner, name))))
        yield


def _counted(disk: Disk, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def operation(*names: Any, **more: Any) -> Any:
        path = _placed(names[1 if kind in ("rename", "link") else 0], more.get("dir_fd"))
        if not disk.watches(path):
            return real(*names, **more)
        return disk.do(kind, path, lambda: real(*names, **more))

    return operation


def _placed(name: Any, folder: int | None) -> Path:
    place = os.fsdecode(os.fspath(name))
    return Path(os.path.abspath(place) if folder is None else f"{_name_of(folder)}/{place}")


def _name_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _flushing(disk: Disk, real: Callable[[int], None]) -> Callable[[int], None]:
    def flush(descriptor: int) -> None:
        path = Path(_name_of(descriptor))
        if not disk.watches(path):
            return real(descriptor)
        disk.do("flush", path, lambda: None)  # the power that is lost is played too
        return disk.note_flushed(os.fstat(descriptor))

    return flush


def _opening(disk: Disk, real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(name: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        path = None if isinstance(name, int) else _placed(name, None)
        if path is None or not disk.watches(path) or not set(mode) & set("wax+"):
            return real(name, mode, *rest, **more)
        stream = disk.do("create", path, lambda: real(name, mode, *rest, **more))
        disk.note_written(os.fstat(stream.fileno()))
        return _File(stream, disk, path)

    return opened


def _native(disk: Disk, real: Callable[..., Any]) -> Callable[..., Any]:
    def write(*arguments: Any, **more: Any) -> Any:
        path = next(value for value in arguments if isinstance(value, Path))
        if not disk.watches(path):
            return real(*arguments, **more)
        return disk.native(path, lambda: real(*arguments, **more))

    return write
