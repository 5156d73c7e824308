"""How a population of simulated users is fitted to logs."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from ialp_jax.artifacts import InputError
from ialp_jax.marks import Since
from ialp_jax.ranges import Percentile, Share, Weight, at_least, within
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class FitConfig:
    """Settings of the factorisation, of the grades, and of the departure rules' parameters."""

    rank: Annotated[int, within(1, 1024)] = 16
    """Latent dimensions besides the two biases."""
    iterations: Annotated[int, within(1, 10_000)] = 15
    """Alternating least squares passes over users and items."""
    regularisation: Annotated[float, within(1e-9, 1e9)] = 3.0
    """Ridge penalty on every factor and bias, in units of one observed interaction."""
    weaken: Annotated[bool, Since(True)] = True
    """Real logs only: where this penalty leaves users no taste of their own, the one of three weaker ones with the highest
    held-out AUC is taken (and said)."""
    unobserved_weight: Annotated[float, within(1e-9, 1e9)] = 0.05
    """Implicit feedback only: weight of a pair nobody logged (target 0) beside an observed one (target 1)."""
    grade_weight: Weight = 1.0
    """Implicit feedback only: an observed pair weighs 1 + this times its grade."""
    popularity_weight: Weight = 1.0
    """Scales the items' means in the affinity (users' own part is kept); below 1 makes a personal world."""
    held_out_fraction: Annotated[float, within(1e-6, 0.9)] = 0.1
    """Share of interactions kept from a first factorisation to measure it; the world is fitted on all."""
    grades: tuple[Share, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Implicit feedback only: the ratings a user can give, from the bulk of items up to the favourites."""
    grade_percentiles: tuple[Percentile, ...] = (80.0, 90.0, 95.0, 98.0)
    """Implicit feedback only: percentiles of a user's own affinities at which the next grade begins."""
    rating_noise: Weight = 0.0
    """Standard deviation of the noise of a rating, raw scale."""
    distance_percentile: Percentile = 5.0
    """The departure threshold is this percentile of the distances between two different items."""
    distance_threshold: float | None = None
    """Departure threshold given outright instead of by percentile (Coat: 6 or 10)."""
    rating_floor: float | None = None
    """Rating below which a user leaves, if the rating rule is in force."""
    category_limit: Annotated[int, at_least(0)] = 2
    """Most items of one category a user accepts in the window, if the category rule is in force."""
    patience_start: float = 3.0
    """Temper at the start, if the patience rule is in force."""
    patience_cost: float = 1.0
    """Temper every recommendation costs."""
    patience_gain: float = 1.5
    """Temper that feedback 1 restores (proportionally for less)."""
    top_categories: Annotated[int, at_least(0)] = 32
    """Most frequent item categories kept for the category rule."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the factors' start and of what is held out."""

    def __post_init__(self) -> None:
        if len(self.grades) != len(self.grade_percentiles) + 1:
            raise InputError(
                f"{len(self.grades)} grades do not fit {len(self.grade_percentiles)} percentiles",
                column="fit.grades", fix="give one grade more than percentiles",
            )  # fmt: skip
        for name in ("grades", "grade_percentiles"):
            values = getattr(self, name)
            if any(left >= right for left, right in pairwise(values)):
                raise InputError(f"{values} does not ascend", column=f"fit.{name}", fix="sort the values")
        if self.grades[0] != 0.0 or self.grades[-1] != 1.0:
            raise InputError(f"{self.grades} does not run from 0 to 1", column="fit.grades",
                             fix="begin with 0 and end with 1")  # fmt: skip
