"""The display of a sweep: simulator steps of all its runs, rate, ETA, and the best setting so far."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress
from rich.text import Text

from ialp_jax.sweeps.units import Unit
from ialp_jax.training.progress import reward_note, step_progress


class SweepBar:
    """Counts the steps of units as they are executed here or elsewhere; a `Watch` of the one executed here."""

    def __init__(self, progress: Progress, line: Text, labels: Mapping[int, str]) -> None:
        self._progress, self._line, self._labels = progress, line, labels
        self._task = progress.add_task("sweep", total=None, note="")
        self._best, self._unit = "", None  # type: tuple[str, Unit | None]

    def expect(self, steps: int) -> None:
        """The sweep turns out to have `steps` in all."""
        self._progress.update(self._task, total=steps)

    def skip(self, steps: int) -> None:
        """Steps that an earlier attempt did, or that another process has just done."""
        self._progress.update(self._task, advance=steps)

    def open(self, unit: Unit) -> None:
        """The unit that `begin` and `advance` will be about."""
        self._unit = unit

    def begin(self, total: int, done: int) -> None:
        """The unit starts; what its checkpoint holds of its own steps is done."""
        assert self._unit is not None
        inherited = total * self._unit.first // self._unit.until
        self._progress.update(self._task, advance=done - inherited)

    def advance(self, steps: int, latest: Mapping[str, np.ndarray]) -> None:
        """A chunk of the unit is done."""
        note = self._best
        if not note and self._unit is not None and "reward" in latest:
            note = self._leading(self._unit, latest["reward"])
        self._line.plain = note
        self._progress.update(self._task, advance=steps)

    def warn(self, message: str) -> None:
        """Prints it above the bar."""
        self._progress.console.print(Text(message, "yellow"))

    def best(self, objective: str, setting: int, value: float, settings: int) -> None:
        """Shows the best of the settings that are finished."""
        self._best = f"best of {settings}: {objective} {value:.3f} ({self._labels[setting]})"
        self._line.plain = self._best

    def _leading(self, unit: Unit, rewards: np.ndarray) -> str:
        """Before any setting is finished: the one that earns most per turn just now, over its seeds."""
        if not unit.measured:
            return f"{unit.stage}: {reward_note(rewards)}"
        values: dict[int, list[float]] = {}
        for run, reward in zip(unit.runs, rewards, strict=False):
            if np.isfinite(reward):
                values.setdefault(run.setting, []).append(float(reward))
        if not values:
            return reward_note(rewards)
        setting = max(values, key=lambda one: float(np.mean(values[one])))
        return f"leading: reward/turn {np.mean(values[setting]):.3f} ({self._labels[setting]})"


@contextmanager
def sweep_bar(console: Console, labels: Mapping[int, str]) -> Iterator[SweepBar]:
    """The bar of a sweep; `labels` of the settings may still grow."""
    progress, line = step_progress(console), Text(style="cyan")
    # The best has a line of its own: beside the bar it would leave no room for rate and ETA.
    with Live(Group(progress, line), console=console, refresh_per_second=4):
        yield SweepBar(progress, line, labels)
