"""What a running job shows: pairs per second, tokens per second, how much the prefix cache saved, time left."""

from types import TracebackType
from typing import Self

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text


class JobProgress:
    """A progress bar over pairs; a context manager."""

    def __init__(self, label: str, pairs: int, console: Console, *, shown: bool = True) -> None:
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), _PairsPerSecond(), _Tokens())
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not shown)
        self._task = self._bar.add_task(label, total=pairs, prompt=0, computed=0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def judged(self, frame: pl.DataFrame) -> None:
        """Rows of a shard that was just judged."""
        fields = self._bar.tasks[self._task].fields
        self._bar.update(
            self._task, advance=frame.height,
            prompt=fields["prompt"] + int(frame["prompt_tokens"].sum()),
            computed=fields["computed"] + int(frame["computed_tokens"].sum()),
        )  # fmt: skip


class _PairsPerSecond(ProgressColumn):
    """Speed of the judge."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} pairs/s")


class _Tokens(ProgressColumn):
    """Prompt tokens per second, and the share of them that the prefix cache answered."""

    def render(self, task: Task) -> Text:
        prompt, computed = task.fields["prompt"], task.fields["computed"]
        if not prompt or not task.elapsed:
            return Text("")
        rate, cached = prompt / task.elapsed, 1 - computed / prompt
        return Text(f"{rate / 1000:,.0f}k tokens/s, {cached:.0%} cached")
