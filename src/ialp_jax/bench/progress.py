"""What a running benchmark shows: how many programs are compiled, how many timings are done, time left."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Watch(Protocol):
    """Follows a benchmark through its stages."""

    def begin(self, stage: str, total: int) -> None:
        """A stage of so many pieces of work starts."""

    def start(self, note: str) -> None:
        """The next piece starts: `note` says which. Those before it are done."""


class Unwatched:
    """A `Watch` that shows nothing."""

    def begin(self, stage: str, total: int) -> None:
        """Nothing."""

    def start(self, note: str) -> None:
        """Nothing."""


class _Bars:
    """One bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._started = progress, 0

    def begin(self, stage: str, total: int) -> None:
        self.end()
        self._task, self._started = self._progress.add_task(stage, total=total, note=""), 0

    def start(self, note: str) -> None:
        self._progress.update(self._task, completed=self._started, note=note)
        self._started += 1

    def end(self) -> None:
        """The stage is over, whatever was left out of it."""
        for task in self._progress.tasks:
            self._progress.update(task.id, completed=task.total, note="")


@contextmanager
def bars(console: Console) -> Iterator[Watch]:
    """Bars with an ETA, one for each stage. Pieces of work differ in length, so the ETA is rough."""
    with Progress(
        TextColumn("{task.description:<10}"),
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
