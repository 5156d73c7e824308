"""Makes every file operation of some work fail in turn, and says what became of its results.

    for outcome in outcomes(Case("mine", prepare, work, result), folder): ...

At each operation (create, write, flush, rename, remove) the process is killed, the power fails, the disk is full or a
permission is lost; after one is before the next. What is then read must be the old or the new; and when the same work is
done again, it must leave the same result. Each may end with one `InputError` instead, and with no other exception.
"""

import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ialp_jax.artifacts import InputError
from ialp_jax.testing.disk import FAULTS, Disk, Fault, Killed, Native, applies, watched
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
    """The file operations of a case, in their order, and the end; `folder` is made."""
    return _whole(case, folder)[0]


def outcomes(case: Case, folder: Path, boundaries: Collection[int] | None = None) -> Iterator[Outcome]:
    """Tries every fault at every boundary, each in a folder of its own that is removed again.

    Args:
        case: the work.
        folder: an empty one, on a real file system.
        boundaries: numbers of the operations, from 0; all if None.
    """
    steps, expected = _whole(case, folder / "whole")
    for number, operation in enumerate(steps):
        if boundaries is None or number in boundaries:
            for fault in FAULTS:
                if applies(fault, operation):
                    place = folder / "attempt"
                    yield _attempt(case, place, number, operation, fault, expected)
                    shutil.rmtree(place)


def _whole(case: Case, folder: Path) -> tuple[list[str], Any]:
    """What is done, and left, where nothing fails."""
    folder.mkdir(parents=True)
    case.prepare(folder)
    disk = Disk(folder)
    with watched(disk, case.natives):
        case.work(folder)
    return [*disk.operations, END], case.result(folder)


def _attempt(case: Case, folder: Path, number: int, operation: str, fault: Fault, expected: Any) -> Outcome:
    folder.mkdir()
    case.prepare(folder)
    disk = Disk(folder, number, fault)

    def faulty() -> None:
        with watched(disk, case.natives):
            case.work(folder)
            disk.end()

    first = _end(faulty)
    between = _end(lambda: case.sound(folder), lambda sound: "sound" if sound else "WRONG")
    again = _end(lambda: case.work(folder))
    if again == "done":
        again = _end(
            lambda: case.result(folder),
            lambda result: "same" if result == expected else "WRONG: another result",
        )
    well = not any(end.startswith(("BARE", "WRONG")) for end in (first, between, again))
    return Outcome(case.name, number, operation, fault, first, between, again, well)


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
