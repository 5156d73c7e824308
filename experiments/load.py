"""Memory and step time of a long training: is either of them growing?

    .venv/bin/python experiments/load.py [--users 4096] [--updates 620] [--env synthetic] [--out runs/load]

Trains A2C once, in a process of its own, and looks at it every second: its resident memory, its processor time, and the
newest run state, whose number is the updates done. The table has a row for each part of the run between two run states.
Wall time says little on a machine that others use too; processor time per user-step does.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

TICKS = os.sysconf("SC_CLK_TCK")
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Settings:
    """What is trained."""

    env: str = "synthetic"
    """Environment."""
    users: int = 4096
    """Users served at once."""
    rollout: int = 8
    """Turns between two updates."""
    updates: int = 620
    """620 make 20.3 million user-steps of 4,096 users and 8 turns."""
    seconds: float = 10.0
    """At least this long between two run states."""
    out: Path = Path("runs/load")
    """Folder of the run; emptied first."""
    embedding: int = 32
    """Width of the network's vectors; 8 makes a step cheaper and the same memory to watch."""
    slots: int = 20
    """Interactions of a session that the network remembers; fewer are cheaper too."""

    def command(self) -> list[str]:
        """The run; its measurement after training is kept small."""
        flags = {"online.users": self.users, "online.rollout": self.rollout, "online.updates": self.updates,
                 "loop.checkpoint-seconds": self.seconds, "evaluation.sessions": 64,
                 "policy.session-slots": self.slots, "policy.embedding": self.embedding, "policy.hidden": 2 * self.embedding, "out": self.out}  # fmt: skip
        words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
        return [
            sys.executable,
            "-m",
            "ialp_jax",
            "train",
            self.env,
            "--seeds",
            "1",
            "--methods",
            "a2c",
            *words,
        ]


@dataclass(frozen=True)
class Sample:
    """The process at one moment.

    Attributes:
        updates: done, by the newest run state.
        wall: seconds since the start.
        cpu: processor seconds, of all threads.
        resident: bytes.
        peak: most bytes so far.
    """

    updates: int
    wall: float
    cpu: float
    resident: int
    peak: int


def look(process: int, out: Path, wall: float) -> Sample | None:
    """The process now; None where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    lines = dict(line.split(":", 1) for line in status.splitlines())
    if "VmRSS" not in lines:  # it has ended and was not waited for
        return None
    resident, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    numbers = [int(path.parent.name) for path in out.glob("checkpoints/a2c-*/*/manifest.json")]
    cpu = (int(times[11]) + int(times[12])) / TICKS
    return Sample(max(numbers, default=0), wall, cpu, resident, peak)


def watch(command: list[str], out: Path) -> list[Sample]:
    """Runs a command; the moments at which it had a new run state, and its last one."""
    begin = time.monotonic()
    samples: list[Sample] = []
    latest = None
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            sample = look(process.pid, out, time.monotonic() - begin)
            if sample is not None:
                latest = sample
                if sample.updates > (samples[-1].updates if samples else 0):
                    samples.append(sample)
            time.sleep(1)
    if process.returncode:
        print(f"the run ended with status {process.returncode}", file=sys.stderr)
    return [*samples, latest] if latest else samples


def show(samples: list[Sample], steps: int, console: Console) -> None:
    """A row for each run state; `steps` are the user-steps of an update."""
    table = Table("M user-steps", "seconds", "k steps/s", "processor us/step", "resident MiB", "peak MiB")
    for before, sample in zip([None, *samples], samples, strict=False):
        done = 0 if before is None else (sample.updates - before.updates) * steps
        rate = f"{done / (sample.wall - before.wall) / 1e3:.1f}" if before and done else ""
        cost = f"{(sample.cpu - before.cpu) / done * 1e6:.2f}" if before and done else ""
        table.add_row(f"{sample.updates * steps / 1e6:.2f}", f"{sample.wall:.0f}", rate, cost,
                      f"{sample.resident / MEBIBYTE:.0f}", f"{sample.peak / MEBIBYTE:.0f}")  # fmt: skip
    console.print(table)


def main(settings: Settings) -> None:
    """Trains and prints the table."""
    shutil.rmtree(settings.out, ignore_errors=True)
    samples = watch(settings.command(), settings.out)
    show(samples, settings.users * settings.rollout, Console(width=110))


if __name__ == "__main__":
    main(tyro.cli(Settings))
