"""What a benchmark varies and what it holds fixed."""

from dataclasses import dataclass, field

from ialp_jax.policies.catalogue import Choice, Matmul
from ialp_jax.ranges import Count, Rate, Weight
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class Shape:
    """Sizes that every point shares; those of the published points wherever there are any."""

    rollout: Count = 16
    """Turns between two updates."""
    embedding: Count = 32
    """Width of the item embeddings."""
    hidden: Count = 64
    """Width of the GRU."""
    history: Count = 10
    """Interactions known of a user when a session opens."""
    turn_cap: Count = 20
    """Most recommendations per session."""
    population: Count = 1024
    """Users of the world, of whom sessions are drawn."""
    head: Choice = "auto"
    """Implementation of the catalogue head."""
    matmul: Matmul = "float32"
    """Type of the factors of the head's products; sums are float32 in either case."""

    @property
    def excluded(self) -> int:
        """Items that may not be recommended: the known history and the session so far."""
        return self.history + self.turn_cap


@dataclass(frozen=True, order=True)
class Point:
    """One measurement: a workload at a number of users and a size of catalogue."""

    workload: str
    users: int
    items: int

    def __str__(self) -> str:
        return f"{self.workload}, {self.users:,} users, {self.items:,} items"


@dataclass(frozen=True)
@checked
class Effort:
    """How long to measure, and what not to try."""

    repeats: Count = 7
    """Times every program is timed; all programs in turn, then all again. Three times where a call is long."""
    repeat_seconds: Weight = 0.2
    """Least time one repeat runs for; short programs are called several times."""
    longest_call: Weight = 5.0
    """A point of which one call cannot take less than this many seconds by its floor is left out."""
    flops_per_call: Weight = 2e9
    """Work put into one call by scanning over updates, so that starting it is not what is measured."""
    steps_per_call: Weight = 1e6
    """The same for programs that hardly multiply: most user-steps put into one call."""
    flops_per_chunk: Weight = 1e14
    """Most work of a call to which updates are added until it has as many as a chunk of the training loop. Less where
    that would take over half of `longest_call`."""
    budget: Weight | None = None
    """Seconds after which no further point is compiled (those left out are named); None for no limit."""
    memory: Rate | None = None
    """Bytes the benchmark may use; None asks the device."""


@dataclass(frozen=True)
@checked
class Grid:
    """Which points are measured: every workload at every number of users and every catalogue."""

    workloads: tuple[str, ...]
    users: tuple[Count, ...] = (1, 16, 64, 256, 1024, 4096, 16384, 65536)
    items: tuple[Count, ...] = (300, 3000, 30_000, 300_000)
    first: tuple[Count, Count] = field(default=(1024, 3000))
    """(users, items) measured before all others, in case a budget ends the run."""

    def points(self) -> list[Point]:
        """All points, those nearest to `first` in front."""
        users, items = self.first

        def distance(point: Point) -> float:
            return max(point.users / users, users / point.users) * max(
                point.items / items, items / point.items
            )

        everything = [Point(name, u, n) for u in self.users for n in self.items for name in self.workloads]
        return sorted(everything, key=distance)  # stable: the workloads of one shape stay together
