"""A whole benchmark: rates, programs compiled one by one, as many as fit timed in turn, records."""

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from ialp_jax.bench.largest import Axis, Growth, Largest
from ialp_jax.bench.measuring.compiled import Ready, compile_program
from ialp_jax.bench.measuring.device import Machine
from ialp_jax.bench.measuring.floors import Rates, floor_of
from ialp_jax.bench.measuring.interleave import Group, Running, measure, repeats_of
from ialp_jax.bench.measuring.probes import Probe, copies, probes_of, rates_of
from ialp_jax.bench.measuring.profile import Share, profile_call
from ialp_jax.bench.progress import Unwatched, Watch
from ialp_jax.bench.results import Limit, Results, Skipped, measured
from ialp_jax.bench.settings import Effort, Grid, Point, Shape
from ialp_jax.bench.subjects.workloads import WORKLOADS
from ialp_jax.installed import versions

PROBE_SHARE = 5  # a probe is timed for a fifth of the time: there are many, and each is one operation
TYPICAL = 2.5  # times its floor is what a program usually takes; only for foreseeing how long a run lasts
STARTING = 0.4  # times compiling a program is what making its first state takes, most of it compiling too


@dataclass(frozen=True)
class Benchmark:
    """What is measured, where and how hard.

    Attributes:
        grid, shape, effort, machine: the points, what they share, how long to measure, on what.
        profile: whether to find out where the time of every point goes.
        largest: workloads that are grown until they no longer fit.
    """

    grid: Grid
    shape: Shape
    effort: Effort
    machine: Machine
    profile: bool = False
    largest: tuple[str, ...] = ()

    def run(
        self,
        watch: Watch | None = None,
        halfway: Callable[[], None] | None = None,
        keep: Callable[[Results], None] = lambda results: None,
    ) -> Results:
        """Measures all points that fit.

        Args:
            watch: told what is going on.
            halfway: called between two repeats of the first group.
            keep: given what is known after each group, so that whatever happens later costs nothing of it.
        """
        begun = time.perf_counter()
        results = Results(self.machine.description, self._settings(), versions())
        results.date = datetime.now(UTC).isoformat(timespec="seconds")
        watch = watch or Unwatched()
        probes = self._probes(watch)
        rates = self._rough_rates(probes)
        deadline = math.inf if self.effort.budget is None else begun + self.effort.budget
        room = self.machine.memory - sum(ready.resident for ready in probes.values())
        for group in self._groups(room, rates, results, begun, watch):
            self._measure(group, probes, results, watch, halfway, deadline)
            halfway = None
            group.clear()  # whoever still holds the group: only without its programs is there room for the next
            gc.collect()
            keep(self._so_far(results, begun))
        results.largest = self._grow(rates, watch)
        return self._so_far(results, begun)

    def _so_far(self, results: Results, begun: float) -> Results:
        results.points.sort(
            key=lambda point: (list(WORKLOADS).index(point.workload), point.items, point.users)
        )
        results.seconds = time.perf_counter() - begun
        return results

    def _settings(self) -> dict:
        return {
            "shape": asdict(self.shape),
            "effort": asdict(self.effort),
            "grid": asdict(self.grid),
            "profile": self.profile,
            "largest": self.largest,
        }

    def _probes(self, watch: Watch) -> dict[Probe, Ready]:
        """All probes, compiled: matrix products and exponentials of every catalogue, and copies."""
        flops = self.effort.flops_per_call / 4
        rows = max(self.grid.users) * self.shape.rollout
        wanted = copies(flops)
        for items in self.grid.items:
            wanted += probes_of(items, self.shape.embedding, rows, flops)
        watch.begin("probes", len(wanted))
        probes: dict[Probe, Ready] = {}
        for probe in wanted:
            watch.start("probes", str(probe))
            probes[probe] = compile_program(probe.program())
        return probes

    def _rough_rates(self, probes: dict[Probe, Ready]) -> dict[int, Rates]:
        """One timing of every probe: enough to foresee which points would take far too long."""
        timed = measure(probes, 1, lambda probe: 0.0)
        return {items: _rates(timed, items) for items in self.grid.items}

    def _groups(
        self, room: float, rates: dict[int, Rates], results: Results, begun: float, watch: Watch
    ) -> Iterator[dict[Point, Ready]]:
        """Compiles every point that is worth it, and hands over as many at a time as fit; the others are noted."""
        group, foreseen = Group(room), 0.0
        compiling = dict.fromkeys(WORKLOADS, 0.0)
        points = self.grid.points()
        watch.begin("compiling", len(points))
        for point in points:
            watch.start("compiling", str(point))
            effort = with_short_chunks(self.effort, rates[point.items])
            program = WORKLOADS[point.workload].build(point, self.shape, effort)
            floor = floor_of(program.counts, rates[point.items]).seconds
            timing = self._foreseen(floor)
            expected = time.perf_counter() - begun + foreseen + timing + compiling[point.workload]
            why = self._too_long(floor, expected)
            if why is None:
                ready = compile_program(program)
                compiling[point.workload] = ready.compile_seconds
                why = self._too_large(ready)
            if why is not None:
                results.skipped.append(Skipped(point.workload, point.users, point.items, *why))
                continue
            if not group.fits(ready):
                yield group.programs
                group, foreseen = Group(room), 0.0
            group.add(point, ready)
            foreseen += timing + STARTING * ready.compile_seconds
        if group.programs:
            yield group.programs

    def _foreseen(self, floor: float) -> float:
        """Seconds that timing a program of this floor should take, with its first calls."""
        call = TYPICAL * floor
        return (repeats_of(call, self.effort.repeats) + 2) * max(self.effort.repeat_seconds, call)

    def _too_long(self, floor: float, expected: float) -> tuple[Limit, str] | None:
        """Why a point would take too long, if it would."""
        if floor > self.effort.longest_call:
            return "call", (f"one call takes at least {floor:,.1f} s by its floor, "
                            f"more than the {self.effort.longest_call:g} s allowed (--longest-call)")  # fmt: skip
        if self.effort.budget is not None and expected > self.effort.budget:
            return "budget", (f"with it the run would take {expected:,.0f} s or more, "
                              f"its budget is {self.effort.budget:g} s (--budget)")  # fmt: skip
        return None

    def _too_large(self, ready: Ready) -> tuple[Limit, str] | None:
        """Why a program does not fit, if it does not."""
        if ready.total <= self.machine.memory:
            return None
        temporary = ready.sharing * ready.memory.temporary
        return "memory", (
            f"the compiled program needs {ready.total / 1e9:,.2f} GB ({temporary / 1e9:,.2f} GB of it "
            f"temporary), more than the {self.machine.memory / 1e9:,.2f} GB there are (--memory-gb)"
        )

    def _measure(
        self,
        group: dict[Point, Ready],
        probes: dict[Probe, Ready],
        results: Results,
        watch: Watch,
        halfway: Callable[[], None] | None,
        deadline: float,
    ) -> None:
        """Times a group and the probes of its catalogues in turn, and adds the records."""
        catalogues = {point.items for point in group}
        wanted = {
            probe: ready
            for probe, ready in probes.items()
            if probe.kind == "copy" or probe.items in catalogues
        }
        everything: dict[Any, Ready] = {**wanted, **group}
        watch.begin("timing", (self.effort.repeats + 1) * len(everything) + (halfway is not None))

        def length(name: Any) -> float:
            return self.effort.repeat_seconds / (PROBE_SHARE if isinstance(name, Probe) else 1)

        timed = measure(
            everything, self.effort.repeats, length, 0, halfway, deadline, partial(watch.start, "timing")
        )
        rates = {items: _rates(timed, items) for items in sorted(catalogues)}
        number = len({entry["group"] for entry in results.rates}) + 1
        results.rates += [{"group": number, "items": items, **asdict(rate)} for items, rate in rates.items()]
        for point in group:
            floor = floor_of(group[point].program.counts, rates[point.items])
            shares = self._profile(point, timed[point]) if self.profile else None
            results.points.append(measured(point, timed[point], floor, shares))

    def _profile(self, point: Point, timed: Running) -> list[Share]:
        """Where the time of a point goes: of a call of few updates, for a small program's may have a thousand."""
        effort = replace(self.effort, flops_per_call=0.0, steps_per_call=0.0)
        program = WORKLOADS[point.workload].build(point, self.shape, effort)
        if program.steps < timed.ready.program.steps:
            timed = replace(timed, ready=compile_program(program))
            timed.timed(1)
        return profile_call(timed)

    def _grow(self, rates: dict[int, Rates], watch: Watch) -> list[Largest]:
        """The most users at the first point's catalogue, and the largest catalogue at its users, of each workload."""
        if not self.largest:
            return []
        growth = Growth(self.shape, self.effort, self.machine.memory, rates)
        axes: tuple[Axis, ...] = ("users", "items")
        return [
            growth.along(axis, Point(name, *self.grid.first), watch) for name in self.largest for axis in axes
        ]


def with_short_chunks(effort: Effort, rates: Rates) -> Effort:
    """Chunks whose products take at most half the longest call here: on a slow machine nothing is left out for them."""
    fitting = 0.5 * effort.longest_call * max(rates.matmul.values())
    return replace(effort, flops_per_chunk=min(effort.flops_per_chunk, fitting))


def _rates(timed: Mapping[Any, Running], items: int) -> Rates:
    """Rates for a catalogue from the median timing of each probe."""
    probes = {name: one.seconds for name, one in timed.items() if isinstance(name, Probe)}
    return rates_of({probe: float(np.median(seconds)) for probe, seconds in probes.items()}, items)
