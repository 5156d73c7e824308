"""What a sweep searches: its axes, its search, and what is the same in every run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from ialp_jax.artifacts import Value
from ialp_jax.ranges import Count, Share, at_least
from ialp_jax.values import checked

Kind = Literal["grid", "random", "sobol", "halving", "adaptive"]
Objective = Literal[
    "mean_reward",
    "final_reward",
    "initial_reward",
    "sampled_reward",
    "greedy_reward",
    "reward_per_turn",
    "length",
]


@dataclass(frozen=True)
@checked
class Axis:
    """One field, and the values it may take: a list, or a range.

    Attributes:
        name: dotted name of the field, for example "methods.a2c.learning_rate".
        values: the list; empty where there is a range.
        low, high: ends of the range, both possible.
        log: the range is cut by ratios instead of differences.
        points: of the range in a grid, the ends among them.
        integer: the field holds whole numbers (`settings.check_space` finds out).
    """

    name: str
    values: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    points: int | None = None
    integer: bool = False

    def bounds(self) -> tuple[float, float]:
        """Both ends of a range.

        Raises:
            ValueError: if the axis is a list.
        """
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name} is a list of values")
        return self.low, self.high


@dataclass(frozen=True)
@checked
class Search:
    """How settings are found.

    Attributes:
        kind: grid: every combination; random, sobol: drawn beforehand; halving: drawn beforehand, and the better
            ones are run for longer; adaptive: drawn in batches that learn from the batches before.
        settings: how many; None for a grid.
        seed: of all draws.
        start: halving: how its settings are drawn.
        eta: halving: one of so many settings goes on, for so many times the updates.
        first_share: halving: least share of the updates that the first rung gets.
        batch: adaptive: settings run together.
        sampler: adaptive: "tpe", Optuna's tree-structured Parzen estimator.
    """

    kind: Kind
    settings: Count | None = None
    seed: Annotated[int, at_least(0)] = 0
    start: Literal["random", "sobol"] = "random"
    eta: Annotated[int, at_least(2)] = 3
    first_share: Share = 0.1
    batch: Count = 8
    sampler: Literal["tpe"] = "tpe"


@dataclass(frozen=True)
@checked
class Space:
    """A sweep: `method` with every setting that `search` finds on `axes`, `seeds` times each.

    Attributes:
        method: what is run, by name or by the absolute path of a file that registers it.
        objective: the metric whose interquartile mean over the seeds is maximised.
        seeds: paired seeds 0, 1, ... of every setting.
        search: how settings are found.
        fixed: fields that differ from the preset in every run.
        axes: fields that are searched, in the order of the file.
    """

    method: str
    objective: Objective
    seeds: Count
    search: Search
    fixed: Mapping[str, Value]
    axes: tuple[Axis, ...]


def rung_shares(search: Search) -> list[float]:
    """Share of the updates that each rung of a halving reaches: eta^-s, ..., 1/eta, 1, the first >= `first_share`."""
    steps = math.floor(math.log(1.0 / search.first_share) / math.log(search.eta) + 1e-9)
    return [float(search.eta) ** -left for left in range(steps, -1, -1)]
