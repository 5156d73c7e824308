"""Progress bars with rate and ETA."""

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


class StepRateColumn(ProgressColumn):
    """Steps per second, over the last half minute."""

    def render(self, task: Task) -> Text:
        """Rate of a task, in thousands."""
        speed = task.finished_speed or task.speed
        return Text("        " if speed is None else f"{speed / 1000:6,.1f} k/s", style="cyan")


def step_progress(console: Console) -> Progress:
    """A progress display that counts simulator steps."""
    return Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        StepRateColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
