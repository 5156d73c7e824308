"""Times several programs in turn: every program once, then all of them again, as often as asked."""

import math
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import numpy as np

from ialp_jax.bench.measuring.compiled import Ready, shared_data, start
from ialp_jax.training.device import crowded

LEAST_REPEATS = 3  # a median of fewer says little
LONG = 2.0  # seconds of a call that is timed no more often than that
Tree = Any
Name = TypeVar("Name", bound=Hashable)


@dataclass
class Running:
    """A program with its state, between two timings.

    Attributes:
        ready: the program.
        data: its shared arrays.
        state: what the next call takes.
        outputs: of the last call.
        calls: calls per repeat.
        init_seconds: making the first state, its compilation included.
        first_call_seconds: the first call.
        seconds: per call, one entry per repeat.
    """

    ready: Ready
    data: Tree
    state: Tree
    outputs: Tree = ()
    calls: int = 1
    init_seconds: float = 0.0
    first_call_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def timed(self, calls: int) -> float:
        """Seconds per call; every output of the last call, and so of all before it, has been waited for."""
        begun = time.perf_counter()
        for _ in range(calls):
            self.state, self.outputs = self.ready.call(self.state, self.data)
        jax.block_until_ready((self.state, self.outputs))
        return (time.perf_counter() - begun) / calls

    def departures(self) -> float | None:
        """Share of the last call's user-steps that ended a session, if the outputs say."""
        found = self.outputs.get("departures") if isinstance(self.outputs, dict) else None
        return None if found is None else float(np.mean(np.asarray(found)))

    def problem(self) -> str | None:
        """What is wrong with the last outputs, if anything: they must be finite, and not all zero."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(self.outputs)]
        numbers = [leaf for leaf in leaves if np.issubdtype(leaf.dtype, np.number)]
        if not all(np.all(np.isfinite(leaf)) for leaf in numbers):
            return "an output is not finite"
        if numbers and not any(np.any(leaf) for leaf in numbers):
            return "all outputs are zero"
        return None


def measure(
    programs: Mapping[Name, Ready],
    repeats: int,
    repeat_seconds: Callable[[Name], float],
    seed: int = 0,
    halfway: Callable[[], None] | None = None,
    deadline: float = math.inf,
    starting: Callable[[str], None] = lambda note: None,
) -> dict[Name, Running]:
    """Runs every program in turn, `repeats` times over.

    Args:
        programs: by name; their states and data are all held at once, see `Group`.
        repeats: timings of each; `LEAST_REPEATS` where a call is longer than `LONG` seconds.
        repeat_seconds: least length of one timing of the program of this name.
        seed: of data and states.
        halfway: called between two repeats in the middle, for whatever else is to be measured in the same run.
        deadline: by `time.perf_counter`; once it is over there are no more repeats than `LEAST_REPEATS`.
        starting: called before every timing, also those that are skipped, with a note on what is timed.
    """
    shared: dict[Hashable, Tree] = {}
    running: dict[Name, Running] = {}
    for name, ready in programs.items():
        starting(str(name))
        running[name] = _begin(ready, shared, seed, repeat_seconds(name))
    # Among the repeats that even a late run makes.
    middle = min(repeats // 2, LEAST_REPEATS - 1)
    for repeat in range(repeats):
        if repeat >= LEAST_REPEATS and time.perf_counter() > deadline:
            break
        if halfway is not None and repeat == middle:
            starting("programs of others")
            halfway()
        for name, one in running.items():
            starting(str(name))
            if not one.seconds or repeat < repeats_of(one.seconds[0], repeats):
                one.seconds.append(one.timed(one.calls))
    return running


def repeats_of(call_seconds: float, repeats: int) -> int:
    """How often a program is timed that takes so long for a call."""
    return repeats if call_seconds < LONG else min(repeats, LEAST_REPEATS)


def _begin(ready: Ready, shared: dict[Hashable, Tree], seed: int, repeat_seconds: float) -> Running:
    """Makes data and state, makes the first call and finds out how many calls a repeat takes."""
    program = ready.program
    place = (program.data, program.mesh)
    if place not in shared:
        shared[place] = jax.block_until_ready(shared_data(program, seed))
    data = shared[place]
    begun = time.perf_counter()
    one = Running(ready, data, jax.block_until_ready(start(program, data, seed + 1)))
    one.init_seconds = time.perf_counter() - begun
    one.first_call_seconds = one.timed(1)
    again = one.timed(1) if one.first_call_seconds < LONG else one.first_call_seconds
    one.calls = min(max(math.ceil(repeat_seconds / again), 1), 10_000)
    return one


@dataclass
class Group:
    """Programs that are timed together: as many neighbours as fit.

    Attributes:
        memory: bytes there are for what all of them hold between calls, and beside that for what the hungriest one
            takes during a call.
        programs: by name.
        held, peak: bytes that these are.
    """

    memory: float
    programs: dict[Any, Ready] = field(default_factory=dict)
    held: float = 0.0
    peak: float = 0.0

    def fits(self, ready: Ready) -> bool:
        """Whether one more program does; the first always does."""
        needed = self.held + ready.resident + max(self.peak, ready.working)
        return not self.programs or (needed <= self.memory and not crowded())

    def add(self, name: Hashable, ready: Ready) -> None:
        """Takes a program in."""
        self.programs[name] = ready
        self.held += ready.resident
        self.peak = max(self.peak, ready.working)
