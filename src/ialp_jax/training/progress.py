"""Progress bars with rate and ETA."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Watch(Protocol):
    """Follows a stretch of training; all numbers are of all its runs together."""

    def begin(self, total: int, done: int) -> None:
        """It has `total` simulator steps, of which an earlier attempt did `done`."""

    def advance(self, steps: int, latest: Mapping[str, np.ndarray]) -> None:
        """It did `steps` more; `latest` has each metric of the last chunk, one value per run, NaN of one that diverged."""

    def warn(self, message: str) -> None:
        """Something the user must see, which ends nothing."""


def reward_note(rewards: np.ndarray) -> str:
    """What runs earn just now, those apart that diverged."""
    sound = rewards[np.isfinite(rewards)]
    words = [f"reward/turn {np.mean(sound):.3f}"] if sound.size else []
    words += [f"{rewards.size - sound.size} diverged"] if sound.size < rewards.size else []
    return ", ".join(words)


class StepRateColumn(ProgressColumn):
    """Steps per second, over the last half minute."""

    def render(self, task: Task) -> Text:
        """Rate of a task, in thousands."""
        speed = task.finished_speed or task.speed
        return Text("        " if speed is None else f"{speed / 1000:6,.1f} k/s", style="cyan")


def step_progress(console: Console) -> Progress:
    """A progress display that counts simulator steps."""
    return Progress(
        TextColumn("{task.description:<20}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        StepRateColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )


class _Bar:
    """A `Watch` that draws one task of a progress display, and the mean reward per turn beside it."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._task = progress, progress.add_task(name, total=None, note="")

    def begin(self, total: int, done: int) -> None:
        self._progress.update(self._task, total=total, completed=done)

    def advance(self, steps: int, latest: Mapping[str, np.ndarray]) -> None:
        note = reward_note(latest["reward"]) if "reward" in latest else ""
        self._progress.update(self._task, advance=steps, note=note)

    def warn(self, message: str) -> None:
        self._progress.console.print(Text(message, "yellow"))


@contextmanager
def step_bar(name: str, console: Console) -> Iterator[Watch]:
    """A bar of its own for one stretch of training."""
    with step_progress(console) as progress:
        yield _Bar(progress, name)
