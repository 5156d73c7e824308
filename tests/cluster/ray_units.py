"""Units of work for the cluster's tests, and the driver that has them run: `python ray_units.py DIRECTORY FUNCTION UNIT ...`"""

import os
import sys
import time
from pathlib import Path

import ray_nodes

from ialp_jax.artifacts import InputError, atomic_path
from ialp_jax.cluster.ray_tasks import run_tasks

BUSY = 0.3  # seconds
LOG = "attempts.log"


def note(directory: Path, *words: str) -> None:
    """A line in a log that all processes append to."""
    with open(directory / LOG, "a", encoding="utf-8") as log:
        log.write(" ".join(words) + "\n")


def written_log(directory: Path) -> str:
    """What that log says by now."""
    return path.read_text("utf-8") if (path := directory / LOG).exists() else ""


def held_on_the_doomed(directory: Path, unit: str) -> None:
    """Writes a file. The doomed node ends one unit and never ends the next, for which the other node waits."""
    target, node = directory / f"{unit}.txt", os.environ[ray_nodes.NODE]
    if target.exists():
        return note(directory, "skip", unit, node)
    ended_here = f"{node} end" in written_log(directory)
    note(directory, node, "begin", unit, os.environ["NPROC"])
    with atomic_path(target) as temporary:
        temporary.write_text(unit * 1000)
        while node == ray_nodes.STEADY and written_log(directory).count(f"{ray_nodes.DOOMED} begin") < 2:
            time.sleep(0.02)
        time.sleep(BUSY if node == ray_nodes.STEADY or not ended_here else 600)
    note(directory, node, "end", unit)
    return None


def failing(directory: Path, unit: str) -> None:
    """By its name: raises, crashes, refuses, or is at work until a second after another raised."""
    note(directory, "begin", unit)
    print(f"last words of {unit}")
    if unit == "raises":
        raise ZeroDivisionError("a fault of the program")
    if unit == "crashes":
        os.write(2, b"said by native code\n")
        os.abort()
    if unit == "refuses":
        raise InputError("the log is empty", fix="fill it")
    while "begin raises" not in written_log(directory):
        time.sleep(0.02)
    time.sleep(1)
    note(directory, "end", unit)


def main(directory: str, function: str, *units: str) -> None:
    """Says what is done, and the one error."""
    import ray_units  # as the workers know it

    cpus = os.environ.get("CPUS_EACH")
    try:
        run_tasks(getattr(ray_units, function), Path(directory), units, cpus_each=float(cpus) if cpus else None,
                  on_done=lambda unit: print("done", unit, flush=True))  # fmt: skip
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
