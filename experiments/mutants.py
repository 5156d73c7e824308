"""Mutation testing of the rooms whose code is traced: are their tests red when the code is wrong?

A mutant is one small change of one file: a comparison, an arithmetic or a boolean operator, a constant, or one of a pair of
functions (minimum and maximum). A sample is drawn uniformly from all mutants of a room, with a stated seed. Each is
tried in a forked process that has imported JAX already but none of our code: its file is handed to Python changed, on the
disk it stays as it is. The tests of the room run that import the mutated module (or else what imports it), with --whole then
all others of the room too; the first that fails kills. A mutant that makes them hang is killed by time.

    make mutants                                  # 50 of each room, seed 0
    make mutants ARGS="--rooms head --count 10"
    make mutants ARGS="--out RESULTS.jsonl"       # keeps results, and goes on from those that are there
    make mutants ARGS="--again RESULTS.jsonl --whole"   # the survivors of an earlier sample
"""

import argparse
import ast
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from importlib.machinery import SourceFileLoader
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mutations import ROOMS, ROOT, SOURCE, TESTS, Mutant, changed_source, mutants_of

WARM = ("jax", "jax.numpy", "flax.linen", "optax", "distrax", "polars", "scipy.stats", "hypothesis", "pytest", "beartype", "chex",
        "jaxtyping", "orbax.checkpoint", "rich.console", "tyro")  # fmt: skip
STATUS = {0: "survived", 1: "killed", 2: "killed"}  # of pytest: green, red, a file that cannot be imported


def imports(file: Path) -> set[str]:
    """Names of the modules that a file imports, and of what it takes from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def tests_of(mutant: Mutant) -> tuple[list[Path], list[Path]]:
    """The tests of a room that import a module, or else what imports it; and all others of the room."""
    folder, pattern = ROOMS[mutant.room]
    room = {file: imports(file) for file in sorted(TESTS.glob(pattern))}
    sources = {_module(file): imports(file) for file in (SOURCE / "ialp_jax" / folder).rglob("*.py")}
    reached = {_module(ROOT / mutant.file)}
    while True:
        near = [file for file, names in room.items() if names & reached]
        further = reached | {name for name, names in sources.items() if names & reached}
        if near or further == reached:
            return near or list(room), [file for file in room if near and file not in near]
        reached = further


def _module(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def replace_source(mutant: Mutant) -> None:
    """Has Python read the mutant's text where it would read its file, and no compiled one."""
    path, text = str(ROOT / mutant.file), changed_source(mutant).encode()
    read, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

    def path_stats(loader: SourceFileLoader, name: str) -> Any:
        if name == path:
            raise OSError("a mutant has no compiled file")
        return stats(loader, name)

    SourceFileLoader.get_data = lambda loader, name: text if name == path else read(loader, name)  # type: ignore[method-assign, assignment]
    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]


def tried(mutant: Mutant | None, tests: Iterable[Path], seconds: float) -> str:
    """What the tests say in a process of their own: "survived", "killed" or "hung"; None tries the sound code."""
    child = os.fork()
    if child == 0:
        os.setsid()
        _run_tests(mutant, [str(test) for test in tests])
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return STATUS.get(os.waitstatus_to_exitcode(status), "killed")
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def _run_tests(mutant: Mutant | None, tests: list[str]) -> None:
    """Ends this process with pytest's status."""
    import pytest

    silence = os.open(os.environ.get("MUTANTS_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if mutant is not None:
        replace_source(mutant)
    status = 2
    try:
        # The plugins among them were imported beforehand, which pytest warns of.
        status = int(pytest.main([*tests, "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--durations=0",
                                  "-W", "ignore::pytest.PytestAssertRewriteWarning"]))  # fmt: skip
    finally:
        sys.stdout.flush()
        os._exit(status)


class Trial:
    """Tries mutants one after the other. That tests are green on the sound code is looked at once, before they may kill."""

    def __init__(self, seconds: float, whole: bool) -> None:
        self._seconds, self._whole = seconds, whole
        self._green: set[Path] = set()

    def __call__(self, mutant: Mutant) -> Mutant:
        """The mutant with its outcome."""
        near, others = tests_of(mutant)
        outcome, by = "survived", ""
        for tests in filter(None, (near, others if self._whole else [])):
            outcome = tried(mutant, tests, self._seconds)
            by = " ".join(test.name for test in tests)
            if outcome != "survived":
                self._require_green(tests)
                break
            self._green.update(tests)
        return replace(mutant, outcome=outcome, by=by)

    def _require_green(self, tests: list[Path]) -> None:
        if not self._green.issuperset(tests):
            if (outcome := tried(None, tests, self._seconds)) != "survived":
                raise SystemExit(f"red before any mutation ({outcome}): {' '.join(map(str, tests))}")
            self._green.update(tests)


def interval(killed: int, tried_: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, weight = killed / tried_, z * z / tried_
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / tried_ + weight / (4 * tried_))
    return middle - half, middle + half


def told(rooms: Iterable[str], results: list[Mutant], whole: dict[str, int]) -> Iterator[str]:
    """Kill rate of every room, then its survivors."""
    for room in rooms:
        of_room = [mutant for mutant in results if mutant.room == room]
        if not of_room:
            continue
        left = [mutant for mutant in of_room if mutant.outcome == "survived"]
        low, high = interval(len(of_room) - len(left), len(of_room))
        yield (f"{room}: {len(of_room) - len(left)} of {len(of_room)} killed ({1 - len(left) / len(of_room):.0%}, 95 % interval "
               f"{low:.0%} to {high:.0%}); a sample of {whole[room]:,}")  # fmt: skip
        yield from (f"  {mutant}" for mutant in left)


def main() -> None:
    """Draws, tries and tells."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument(
        "--files", nargs="+", default=[], help="modules, by the names of their files; all without it"
    )
    parser.add_argument("--count", type=int, default=50, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="longest time that the tests of a mutant may take"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="a line of JSON for each mutant is added to this file"
    )
    parser.add_argument("--again", type=Path, default=None, help="try the survivors in such a file instead")
    parser.add_argument(
        "--whole", action="store_true", help="all tests of a room, before a mutant counts as survived"
    )
    asked = parser.parse_args()
    every = {
        room: [
            mutant for mutant in mutants_of(room) if not asked.files or Path(mutant.file).stem in asked.files
        ]
        for room in asked.rooms
    }
    chosen, results = sampled(every, asked.count, asked.seed), kept(asked.out)
    if asked.again is not None:
        chosen, results = [mutant for mutant in kept(asked.again) if mutant.outcome == "survived"], []
    done = {place(mutant) for mutant in results}
    sys.path.insert(0, str(SOURCE))
    for name in WARM:
        __import__(name)
    trial = Trial(asked.seconds, asked.whole)
    for mutant in chosen:
        if place(mutant) in done:
            continue
        results.append(trial(mutant))
        print(results[-1], flush=True)
        if asked.out is not None:
            with asked.out.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(results[-1])) + "\n")
    print(*told(asked.rooms, results, {room: len(mutants) for room, mutants in every.items()}), sep="\n")


def sampled(every: dict[str, list[Mutant]], count: int, seed: int) -> list[Mutant]:
    """So many of each room, in turn: what an interrupted sample has tried is of all rooms."""
    samples = [
        random.Random(f"{seed} {room}").sample(mutants, min(count, len(mutants)))
        for room, mutants in every.items()
    ]
    return [mutant for row in zip_longest(*samples) for mutant in row if mutant is not None]


def kept(results: Path | None) -> list[Mutant]:
    """The mutants that a file has; none where there is no file."""
    lines = (
        [] if results is None or not results.exists() else results.read_text(encoding="utf-8").splitlines()
    )
    return [Mutant(**json.loads(line)) for line in lines]


def place(mutant: Mutant) -> tuple[str, int]:
    """What a mutant is known by."""
    return mutant.file, mutant.site


if __name__ == "__main__":
    main()
