"""What sharing a program is worth: one sweep, against its runs one after another, and each in a process of its own.

    .venv/bin/python experiments/bench_sweep.py [--env steam --data FOLDER] [--processes 4] [--space FILE]

All with a warm compile cache (every variant is run once before it is timed, in turns). "Together" uses every core as a device. "One after another" is
the same sweep with one run per program on one device: one process, one preparation, each run trained, measured and
stored. Of the separate processes (`ialp train` for one setting and seed) only a few are run; their mean stands for
the rest, which the table says.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import tyro
from rich.console import Console
from rich.table import Table

IALP = Path(sys.executable).parent / "ialp"


@dataclass(frozen=True)
class Settings:
    """What is timed."""

    env: str = "synthetic"
    """Environment."""
    data: Path | None = None
    """Folder of logs."""
    space: Path = Path(__file__).parent / "sweeps" / "quick_a2c.toml"
    """The sweep."""
    processes: int = 4
    """Separate processes that are timed, evenly spread over the runs."""
    repeats: int = 1
    """Timed repeats; the least time counts."""


def seconds_of(command: list[str], folder: Path) -> float:
    """Wall time of a command in a new folder; what it says is shown if it fails."""
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    done = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - begun


def main(settings: Settings) -> None:
    """Times the variants and prints the ratios."""
    console, place = Console(), Path(tempfile.mkdtemp(prefix="ialp-bench-sweep-"))
    where = [settings.env, *(["--data", str(settings.data)] if settings.data else [])]
    sweep = [str(IALP), "sweep", *where, "--space", str(settings.space)]
    variants = {"together": sweep, "one after another": [*sweep, "--runs-per-program", "1", "--devices", "1"]}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(settings.repeats + 1):
        for name, command in variants.items():
            with console.status(f"{name}, {'warming up' if repeat == 0 else f'repeat {repeat}'}"):
                taken = seconds_of(command, place / name.replace(" ", "-"))
            if repeat:
                times[name].append(taken)
    together = place / "together"
    runs = pl.read_parquet(together / "results.parquet")
    programs = pl.read_parquet(together / "timings.parquet")["bucket"].n_unique()
    singles = single_runs(runs, settings.processes, place, console)
    shutil.rmtree(place)
    report(runs.height, programs, times, singles, console)


def single_runs(runs: pl.DataFrame, processes: int, place: Path, console: Console) -> list[float]:
    """Seconds of some runs, each as `ialp train` with one seed; one more before them fills the cache."""
    commands = runs["command"].unique(maintain_order=True)
    chosen = [commands[len(commands) * number // processes] for number in range(processes)]
    seconds = []
    for number, command in enumerate([chosen[0], *chosen]):
        words = shlex.split(command)
        words = [str(IALP), *words[1 : words.index("--out")]]  # the command's last
        words[words.index("--seeds") + 1] = "1"
        with console.status(f"separate process {number} of {processes}"):
            seconds.append(seconds_of(words, place / "single"))
    return seconds[1:]


def report(
    runs: int, programs: int, times: dict[str, list[float]], singles: list[float], console: Console
) -> None:
    """One table of seconds and ratios."""
    together, alone = (min(times[name]) for name in ("together", "one after another"))
    each = sum(singles) / len(singles)
    table = Table(title=f"{runs} runs, {programs} static bucket(s)", title_justify="left")
    for column in ("", "seconds", "the sweep costs"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("together (ialp sweep)", f"{together:.1f}", "1")
    table.add_row("one after another, one process", f"{alone:.1f}", f"{together / alone:.2f}x of it")
    table.add_row(f"{runs} processes ({len(singles)} timed, {each:.1f} s each)", f"{runs * each:.0f}",
                  f"{together / (runs * each):.2f}x of it")  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Settings))
