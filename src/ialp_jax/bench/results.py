"""One record per point, measured or skipped, and the file they are kept in."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ialp_jax.artifacts import atomic_path, json_text
from ialp_jax.bench.largest import Largest
from ialp_jax.bench.measuring.floors import Floor
from ialp_jax.bench.measuring.interleave import Running
from ialp_jax.bench.measuring.profile import Share
from ialp_jax.bench.settings import Point
from ialp_jax.values import checked

SCHEMA = 1
Limit = Literal["memory", "call", "budget"]


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Of these values."""
        return cls(float(np.median(values)), min(values), max(values))


@dataclass(frozen=True)
class Measured:
    """A point that ran.

    Attributes:
        workload, users, items: the point.
        steps_per_s: user-steps (decisions) per second.
        ns_per_step: nanoseconds per user-step, the same number the other way round.
        first_result_s: making the state, compiling and the first call; nothing cached.
        compile_s: of these, compiling the program.
        floor_s: least seconds of one call, in parts and as their total; `bound` says which part sets it.
        call_s: seconds of one call.
        fraction: of the floor reached.
        memory: bytes on one device, from the compiled program.
        flops: matrix products of one call: needed at least, in the program as written, all operations by XLA.
        steps_per_call: user-steps of one call.
        calls: calls per repeat.
        plan: implementation of the catalogue head when acting, empty where there is none.
        departures: share of user-steps that ended a session, in the last call; None where the program does not say.
        problem: what is wrong with its outputs, if anything.
        profile: where a call's time goes; empty if that was not asked for.
    """

    workload: str
    users: int
    items: int
    steps_per_s: Spread
    ns_per_step: float
    first_result_s: float
    compile_s: float
    call_s: Spread
    floor_s: dict[str, Any]
    fraction: float
    memory: dict[str, int]
    flops: dict[str, float | None]
    steps_per_call: int
    calls: int
    plan: str
    departures: float | None = None
    problem: str | None = None
    profile: tuple[Share, ...] = ()

    def idle_if_synchronous(self, turn_cap: int) -> float | None:
        """Share of user-steps that would fall on departed users if nobody's next session began before everybody's
        did: 1 - mean length / turn cap. Here it is 0: a departed user is replaced in the same turn."""
        if not self.departures:
            return None
        return max(0.0, 1.0 - 1.0 / (self.departures * turn_cap))


@dataclass(frozen=True)
@checked
class Skipped:
    """A point that did not run: which limit it met, and the estimate that decided."""

    workload: str
    users: int
    items: int
    limit: Limit
    why: str


@dataclass
class Results:
    """Everything a run of the benchmark found out.

    Attributes:
        machine: where it ran.
        settings: of the benchmark.
        versions: of the packages.
        points: measured points.
        skipped: points that were left out.
        rates: what the floors were divided by, per catalogue (and per group that was timed together).
        peers: other people's programs, if any were measured in the same run.
        largest: how far programs can grow, if that was asked for.
        seconds: the whole run.
        date: when.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    versions: dict[str, str]
    points: list[Measured] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    peers: list[dict[str, Any]] = field(default_factory=list)
    largest: list[Largest] = field(default_factory=list)
    seconds: float = 0.0
    date: str = ""

    def to_json(self) -> str:
        """The results file."""
        return json_text({"schema": SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"


def measured(point: Point, running: Running, floor: Floor, profile: list[Share] | None = None) -> Measured:
    """The record of a point."""
    ready = running.ready
    call = Spread.of(running.seconds)
    steps = ready.program.steps
    return Measured(
        point.workload, point.users, point.items,
        steps_per_s=Spread(steps / call.median, steps / call.high, steps / call.low),
        ns_per_step=1e9 * call.median / steps,
        first_result_s=running.init_seconds + ready.compile_seconds + running.first_call_seconds,
        compile_s=ready.compile_seconds,
        call_s=call,
        floor_s={**asdict(floor), "total": floor.seconds, "bound": floor.bound},
        fraction=floor.seconds / call.median,
        memory={**asdict(ready.memory), "total": ready.memory.total},
        flops={"needed": ready.program.counts.total_flops, "traced": ready.traced_flops, "xla": ready.xla_flops},
        steps_per_call=steps,
        calls=running.calls,
        plan=ready.program.plan,
        departures=running.departures(),
        problem=running.problem(),
        profile=tuple(profile or ()),
    )  # fmt: skip


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text)
