"""How far a program can grow: the most users, and the largest catalogue, whose compiled program fits the device."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import jax

from ialp_jax.bench.measuring.compiled import Ready, compile_program
from ialp_jax.bench.measuring.floors import Rates, floor_of
from ialp_jax.bench.measuring.interleave import measure
from ialp_jax.bench.progress import Watch
from ialp_jax.bench.settings import Effort, Point, Shape
from ialp_jax.bench.subjects.workloads import WORKLOADS
from ialp_jax.values import checked

Axis = Literal["users", "items"]
FARTHEST = 2**28  # users or items: nothing larger is looked for


@dataclass(frozen=True)
@checked
class Largest:
    """Where growing along one axis, by doubling, ends.

    Attributes:
        workload: what grew.
        axis: along which; the other size stayed as it was.
        users, items: the largest sizes that fit, or those it began with if not even they do.
        bytes: memory of the program at these, on all devices that share one.
        refused_bytes: what it would need at twice the size; None if that was not tried.
        steps_per_s: of one call after a first one; None if it was not run.
        note: why it was not run, or what went wrong.
    """

    workload: str
    axis: Axis
    users: int
    items: int
    bytes: int
    refused_bytes: int | None
    steps_per_s: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Growth:
    """How programs are grown.

    Attributes:
        shape: of every point.
        effort: `longest_call` decides whether the largest one is run. A call has one update.
        memory: bytes there are.
        rates: of the machine for each catalogue, to foresee how long a call takes; others as the largest of these.
    """

    shape: Shape
    effort: Effort
    memory: float
    rates: dict[int, Rates]

    def compile(self, point: Point) -> Ready:
        """A point's program; nothing of its size is allocated."""
        one_update = replace(self.effort, flops_per_call=0.0, steps_per_call=0.0, flops_per_chunk=0.0)
        return compile_program(WORKLOADS[point.workload].build(point, self.shape, one_update))

    def along(self, axis: Axis, start: Point, watch: Watch) -> Largest:
        """Doubles one size of `start` until it no longer fits, and runs the last one that does."""
        watch.begin(f"growing {axis}", (FARTHEST // getattr(start, axis)).bit_length())

        def compiled(point: Point) -> Ready:
            watch.start(f"growing {axis}", str(point))
            return self.compile(point)

        point, ready, refused = grow(start, axis, self.memory, compiled)
        found = Largest(point.workload, axis, point.users, point.items, ready.total, refused)
        if ready.total > self.memory:
            return replace(found, note=f"does not fit the {self.memory / 1e9:,.2f} GB there are")
        return self._run(found, point, ready)

    def _run(self, found: Largest, point: Point, ready: Ready) -> Largest:
        """One call, if it does not take too long."""
        rates = self.rates.get(point.items, self.rates[max(self.rates)])
        seconds = floor_of(ready.program.counts, rates).seconds
        if seconds > self.effort.longest_call:
            return replace(found, note=f"not run: a call takes at least {seconds:,.0f} s (--longest-call)")
        try:
            one = measure({point: ready}, 1, lambda name: 0.0)[point]
        except jax.errors.JaxRuntimeError as error:  # so near the limit, what else there is may be too much
            return replace(found, note=f"failed: {str(error).splitlines()[0]}")
        return replace(found, steps_per_s=ready.program.steps / one.seconds[-1], note=one.problem() or "")


def grow(
    start: Point, axis: Axis, memory: float, compiled: Callable[[Point], Ready]
) -> tuple[Point, Ready, int | None]:
    """The last point that fits (or `start`, if none does), its program, and the bytes twice the size would need."""
    point, ready = start, compiled(start)
    while ready.total <= memory and 2 * getattr(point, axis) <= FARTHEST:
        larger = replace(point, **{axis: 2 * getattr(point, axis)})
        tried = compiled(larger)
        if tried.total > memory:
            return point, ready, tried.total
        point, ready = larger, tried
    return point, ready, None
