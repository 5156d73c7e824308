"""Makes every file operation of some work fail in turn, and says what became of its results.

    for outcome in outcomes(Case("mine", prepare, work, result), folder): ...

At each operation (create, write, flush, rename, remove) the process is killed, the power fails, the disk is full or a
permission is lost; after one is before the next. What is then read must be the old or the new; and when the same work is
done again, it must leave the same result. Each may end with one `InputError` instead, and with no other exception.

What a kill or a loss of power leaves is copied while the work is done once; where two leave the same files, what is done
then is done once.
"""

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ialp_jax.artifacts import InputError
from ialp_jax.testing.disk import FAULTS, Disk, Fault, Killed, Native, applies, lose, watched
from ialp_jax.values import checked

END = "the end"


@dataclass(frozen=True)
class Case:
    """Some work that writes files.

    Attributes:
        name: for a reader.
        prepare: fills a new folder with what lies there before.
        work: what is done in the folder; done again after every fault.
        result: what must be the same in the end, compared with ==.
        sound: whether what can be read after a fault, before the work is done again, is as it should be.
        natives: functions that write files without Python's knowing, each a boundary: an object, and an attribute of it.
    """

    name: str
    prepare: Callable[[Path], Any]
    work: Callable[[Path], Any]
    result: Callable[[Path], Any]
    sound: Callable[[Path], bool] = lambda folder: True
    natives: tuple[Native, ...] = ()


@dataclass(frozen=True)
@checked
class Outcome:
    """What became of one fault.

    Attributes:
        case: name of the work.
        boundary: number of the operation, from 0.
        operation: what it was, and on which name.
        fault: what happened there.
        first: how the work ended then.
        between: what could then be read.
        again: how it ended when it was done again.
        well: whether the result was the same or refused, and no other exception was seen.
    """

    case: str
    boundary: int
    operation: str
    fault: Fault
    first: str
    between: str
    again: str
    well: bool


def operations(case: Case, folder: Path) -> list[str]:
    """The file operations of a case, in their order, and the end; `folder` is made, and removed again."""
    return _Recorder(case, folder).operations


def outcomes(case: Case, folder: Path, boundaries: Collection[int] | None = None) -> Iterator[Outcome]:
    """Tries every fault at every boundary, each in a folder of its own that is removed again.

    Args:
        case: the work.
        folder: an empty one, on a real file system.
        boundaries: numbers of the operations, from 0; all if None.
    """
    place = folder / "attempt"
    recorded = _Recorder(case, place, folder / "left", boundaries)
    for number, operation in enumerate(recorded.operations):
        if boundaries is None or number in boundaries:
            for fault in FAULTS:
                if applies(fault, operation):
                    ends = recorded.killed(number, fault) or _attempt(recorded, number, fault)
                    well = not any(end.startswith(("BARE", "WRONG")) for end in ends)
                    yield Outcome(case.name, number, operation, fault, *ends, well)
            recorded.forget(number)


class _Recorder:
    """Some work done once where nothing fails: its operations, what it left, and what there was before each of them."""

    def __init__(
        self, case: Case, place: Path, left: Path | None = None, boundaries: Collection[int] | None = None
    ) -> None:
        """Does the work.

        Args:
            case: the work.
            place: a folder that is made, where it is done; it is removed again.
            left: a folder for what there was before each operation; None if nobody asks.
            boundaries: of which operations; of all if None.
        """
        self.case, self.place, self._left = case, place, left
        self._unflushed: dict[int, list[Path]] = {}
        self._ends: dict[str, tuple[str, str]] = {}
        place.mkdir(parents=True)
        case.prepare(place)
        disk = Disk(place)

        def copy(number: int) -> None:
            if left is not None and (boundaries is None or number in boundaries):
                self._unflushed[number] = [path.relative_to(place) for path in disk.unflushed()]
                shutil.copytree(place, left / str(number), symlinks=True)

        disk.boundary = copy  # type: ignore[method-assign]
        with watched(disk, case.natives):
            case.work(place)
            disk.end()
        self.operations = [*disk.operations, END]
        self.expected = case.result(place)
        shutil.rmtree(place)

    def killed(self, number: int, fault: Fault) -> tuple[str, str, str] | None:
        """How the work, what is read and the work again end after a kill or a loss of power; None for other faults."""
        if fault not in ("killed", "power lost"):
            return None
        assert self._left is not None
        shutil.copytree(self._left / str(number), self.place, symlinks=True)
        if fault == "power lost":
            lose([self.place / name for name in self._unflushed[number]])
        content = _content(self.place)
        if content not in self._ends:
            self._ends[content] = self.ends()
        shutil.rmtree(self.place)
        return "killed", *self._ends[content]

    def forget(self, number: int) -> None:
        """Makes room: nobody asks for this boundary again."""
        if self._left is not None:
            shutil.rmtree(self._left / str(number))

    def ends(self) -> tuple[str, str]:
        """What can be read of what lies there, and how the work ends when it is done again."""
        between = _end(lambda: self.case.sound(self.place), lambda sound: "sound" if sound else "WRONG")
        again = _end(lambda: self.case.work(self.place))
        if again == "done":
            again = _end(
                lambda: self.case.result(self.place),
                lambda result: "same" if result == self.expected else "WRONG: another result",
            )
        return between, again


def _attempt(recorded: _Recorder, number: int, fault: Fault) -> tuple[str, str, str]:
    """How the work that meets a fault, what is read then and the work again end."""
    case, place = recorded.case, recorded.place
    place.mkdir()
    case.prepare(place)
    disk = Disk(place, number, fault)

    def faulty() -> None:
        with watched(disk, case.natives):
            case.work(place)
            disk.end()

    first = _end(faulty)
    ends = recorded.ends()
    shutil.rmtree(place)
    return first, *ends


def _content(folder: Path) -> str:
    """Equal for folders of equal names, permissions and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        held = (
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b""
        )
        digest.update(f"{path.relative_to(folder)}\0{mode}\0{len(held)}\0".encode() + held)
    return digest.hexdigest()


def _end(work: Callable[[], Any], named: Callable[[Any], str] = lambda _: "done") -> str:
    """Does some work, and says how it ended; `named` says what it has returned."""
    try:
        return named(work())
    except Killed:
        return "killed"
    except InputError as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what is looked for)
        return f"BARE {type(error).__name__}: {error}"
