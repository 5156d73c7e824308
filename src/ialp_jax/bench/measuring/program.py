"""A program to be measured: pure functions of arrays, and the work they need at least."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from ialp_jax.bench.measuring.floors import Counts

Tree = Any


@dataclass(frozen=True)
class Program:
    """What is compiled, with everything needed to feed it.

    Attributes:
        data: makes the arrays that calls share (a world, weights) from a key; equal makers share their arrays.
        start: makes the state of the first call from a key and those arrays.
        step: one call, (state, data) -> (state, outputs). The state's buffers are given up to the call.
        steps: user-steps (decisions) of one call.
        counts: the least work of one call.
        plan: how the catalogue head is computed for one decision of every user, if it is part of the program.
        mesh: devices that share the work; state and step then have a leading axis of runs, as the training loop's.
            None is one device.
    """

    data: Hashable
    start: Callable[[PRNGKeyArray, Tree], Tree]
    step: Callable[[Tree, Tree], tuple[Tree, Tree]]
    steps: int
    counts: Counts
    plan: str = ""
    mesh: Mesh | None = None

    def make_data(self, key: PRNGKeyArray) -> Tree:
        """The shared arrays; traceable."""
        maker: Any = self.data
        return maker(key)
