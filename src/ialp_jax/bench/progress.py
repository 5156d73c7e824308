"""What a running benchmark shows: how many programs are compiled, how many timings are done, time left."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Watch(Protocol):
    """Follows a benchmark through its stages, which may take turns."""

    def begin(self, stage: str, total: int) -> None:
        """A stage has so many pieces of work, or so many more."""

    def start(self, stage: str, note: str) -> None:
        """The next piece of a stage starts: `note` says which. Those before it are done."""


class Unwatched:
    """A `Watch` that shows nothing."""

    def begin(self, stage: str, total: int) -> None:
        """Nothing."""

    def start(self, stage: str, note: str) -> None:
        """Nothing."""


class _Bars:
    """One bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._totals: Counter[str] = Counter()
        self._started: Counter[str] = Counter()

    def begin(self, stage: str, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=0, note="")
        self._started[stage] = self._totals[stage]  # whatever was left out of the pieces before
        self._totals[stage] += total
        self._progress.update(self._tasks[stage], total=self._totals[stage])

    def start(self, stage: str, note: str) -> None:
        for other, task in self._tasks.items():
            self._progress.update(task, completed=self._started[other], note="")
        self._progress.update(self._tasks[stage], note=note)
        self._started[stage] += 1

    def end(self) -> None:
        """All is done, whatever was left out."""
        for stage, task in self._tasks.items():
            self._progress.update(task, completed=self._totals[stage], note="")


@contextmanager
def bars(console: Console) -> Iterator[Watch]:
    """Bars with an ETA, one for each stage. Pieces of work differ in length, so the ETA is rough."""
    with Progress(
        TextColumn("{task.description:<13}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        speed_estimate_period=300.0,
    ) as progress:
        shown = _Bars(progress)
        yield shown
        shown.end()
