"""Probes of the machine: the rates that floors are divided by, measured in turn with everything else.

Each repeats one operation on data that differ from pass to pass, inside one call, so that starting a call does not count.
"""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ialp_jax.bench.measuring.floors import FLOAT, Counts, Rates
from ialp_jax.bench.measuring.program import Program, Tree
from ialp_jax.values import checked

Kind = Literal["matmul", "exp", "exp_sum", "copy"]
MATMUL_ROWS = (1, 16, 64, 256, 512, 2048, 8192)
COPY_BYTES = (2**16, 2**20, 2**24, 2**26)
LARGEST = 2**28  # bytes of a probe's arrays


@dataclass(frozen=True)
@checked
class Probe:
    """One operation on arrays of one size.

    Attributes:
        kind: "matmul" of the head's shape [rows, width] x [width, items]; "exp" in place, or "exp_sum" over rows, of
            as many numbers as the logits of those rows; "copy" reads and writes an array.
        rows: rows of queries; for a copy, 1.
        items: catalogue; for a copy, the numbers in the array.
        width: of the embeddings.
        flops_per_call: how much a call should do.
    """

    kind: Kind
    rows: int
    items: int
    width: int
    flops_per_call: float

    def __str__(self) -> str:
        return f"rate of the machine: {self.kind}, {self.rows:,} x {self.items:,}"

    @property
    def unit(self) -> float:
        """Work of one pass: FLOPs, exponentials, or bytes."""
        numbers = float(self.rows * self.items)
        return {"matmul": 2.0 * numbers * self.width, "copy": 2.0 * FLOAT * numbers}.get(self.kind, numbers)

    @property
    def size(self) -> int:
        """What the rate depends on: rows of a product, bytes of a copy."""
        return FLOAT * self.items if self.kind == "copy" else self.rows

    @property
    def passes(self) -> int:
        """Passes in one call. A call of a product holds the queries of all its passes."""
        work = self.unit if self.kind == "matmul" else 64.0 * self.unit  # an exponential costs about 64 FLOPs
        passes = min(max(self.flops_per_call / work, 1.0), 4096.0)
        if self.kind == "matmul":
            passes = min(passes, max(LARGEST / (FLOAT * self.rows * self.width), 1.0))
        return math.ceil(passes)

    def __call__(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        """What a product reads: queries [passes, rows, width] and embeddings; the others read their state only."""
        if self.kind != "matmul":
            return jnp.ones(1), jnp.ones(1)
        query_key, item_key = jax.random.split(key)
        queries = jax.random.normal(query_key, (self.passes, self.rows, self.width))
        return queries, jax.random.normal(item_key, (self.items, self.width))

    def program(self) -> Program:
        """The probe as a program; its steps are its passes."""
        return Program(self, self._start, self._step, self.passes, Counts())

    def _start(self, key: PRNGKeyArray, data: Tree) -> Array:
        del data
        return jax.random.uniform(key, (self.rows, self.items), minval=0.1, maxval=0.9)

    def _step(self, state: Array, data: tuple[Array, Array]) -> tuple[Array, Tree]:
        if self.kind == "matmul":
            queries, items = data
            return jax.lax.scan(lambda _, query: (query @ items.T, None), state, queries)[0], ()
        if self.kind == "exp_sum":
            # The sums feed the next pass, so that no pass is the same as another.
            def pass_(shift: Array, _: None) -> tuple[Array, None]:
                return jnp.mean(jnp.exp(state * shift[:, None]), axis=1), None

            sums = jax.lax.scan(pass_, jnp.full(self.rows, 0.5), None, length=self.passes)[0]
            return state, sums
        one = (lambda now: jnp.exp(-now)) if self.kind == "exp" else (lambda now: 0.5 * now + 0.25)
        return jax.lax.scan(lambda now, _: (one(now), None), state, None, length=self.passes)[0], ()


def probes_of(items: int, width: int, most_rows: int, flops_per_call: float) -> list[Probe]:
    """What the floors of one catalogue need: products of the head's shape and exponentials, at several row counts."""
    fitting = [
        rows for rows in MATMUL_ROWS if rows == 1 or (rows <= most_rows and FLOAT * rows * items <= LARGEST)
    ]
    kinds: tuple[Kind, ...] = ("matmul", "exp", "exp_sum")
    probes = [
        Probe(kind, rows, items, width, flops_per_call)
        for kind in kinds
        for rows in (fitting if kind == "matmul" else fitting[-3:])
    ]
    return probes


def copies(flops_per_call: float) -> list[Probe]:
    """Copies from the size of a cache to the size of memory; they do not depend on the catalogue."""
    return [Probe("copy", 1, size // FLOAT, 1, flops_per_call) for size in COPY_BYTES]


def rates_of(seconds: dict[Probe, float], items: int) -> Rates:
    """Rates for one catalogue from the measured seconds of one call of each probe."""
    speed = {probe: probe.unit * probe.passes / taken for probe, taken in seconds.items()}
    mine = {probe: rate for probe, rate in speed.items() if probe.items == items and probe.kind != "copy"}
    return Rates(
        matmul={probe.size: rate for probe, rate in mine.items() if probe.kind == "matmul"},
        exponential=max(rate for probe, rate in mine.items() if probe.kind in ("exp", "exp_sum")),
        copy={probe.size: rate for probe, rate in speed.items() if probe.kind == "copy"},
    )
