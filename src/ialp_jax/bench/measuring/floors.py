"""The floor of a program: its least work over the rates this machine reached in the same run.

A floor counts what the method needs and not what the code does: every matrix product once, one exponential per logit
and pass, and every byte that must be read or written once per turn or update. Doing less than that would be another
method; doing more is what the fraction of the floor shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Counts:
    """The least work of one call.

    Attributes:
        flops: floating-point operations of matrix products (a multiply-add is two), by rows of the product.
        exponentials: of logits.
        bytes: read and written.
        resident: bytes that those are read from and written to again and again: small ones stay in a cache.
    """

    flops: Mapping[int, float] = field(default_factory=dict)
    exponentials: float = 0.0
    bytes: float = 0.0
    resident: float = 0.0

    @property
    def total_flops(self) -> float:
        """All matrix products together."""
        return float(sum(self.flops.values()))

    def times(self, factor: float) -> "Counts":
        """The work of so many calls; what is resident stays."""
        flops = {rows: factor * flops for rows, flops in self.flops.items()}
        return Counts(flops, factor * self.exponentials, factor * self.bytes, self.resident)


@dataclass(frozen=True)
class Rates:
    """What the machine reached. Every table is by size; between sizes the next one that was measured counts.

    Attributes:
        matmul: FLOP/s of [rows, width] x [width, items], by rows.
        exponential: exponentials per second.
        copy: bytes per second (read and written both count), by bytes of the array.
    """

    matmul: Mapping[int, float]
    exponential: float
    copy: Mapping[int, float]

    def matmul_at(self, rows: int) -> float:
        """The best rate over products of at most so many rows: more rows can be cut into those.

        Between two sizes that were measured the larger one counts too: a floor may be too low, never too high.
        """
        enough = min((measured for measured in self.matmul if measured >= rows), default=max(self.matmul))
        return max(rate for measured, rate in self.matmul.items() if measured <= enough)

    def copy_at(self, size: float) -> float:
        """The best rate over arrays of at least this size."""
        fitting = [rate for measured, rate in self.copy.items() if measured >= size]
        return max(fitting) if fitting else self.copy[max(self.copy)]


@dataclass(frozen=True)
class Floor:
    """Least seconds of one call: arithmetic, or moving bytes, whichever takes longer."""

    matmul: float
    exponential: float
    bytes: float

    @property
    def seconds(self) -> float:
        """The floor itself."""
        return max(self.matmul + self.exponential, self.bytes)

    @property
    def bound(self) -> str:
        """What sets it."""
        return "arithmetic" if self.matmul + self.exponential >= self.bytes else "bytes"


def floor_of(counts: Counts, rates: Rates) -> Floor:
    """Divides the work by the rates."""
    return Floor(
        matmul=sum(flops / rates.matmul_at(rows) for rows, flops in counts.flops.items()),
        exponential=counts.exponentials / rates.exponential,
        bytes=counts.bytes / rates.copy_at(counts.resident),
    )
