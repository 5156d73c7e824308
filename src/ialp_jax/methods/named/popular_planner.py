"""The offline users' most liked items, with a look at what is alike."""

from dataclasses import dataclass
from typing import ClassVar

from ialp_jax.methods.base import Card, Common, Rival, Stage, looking
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.registry import register


@register("popular_planner")
@dataclass(frozen=True)
class PopularPlanner:
    """`popular`, and nothing too like the last recommended items."""

    card: ClassVar[Card] = Card(
        "popular planner", "popularity, and nothing too like the last items", RECOMMENDERS, learns_online=False,
        stochastic=False, default=True, landmark="simple",
        rivals=(Rival("popular", "mean_reward", "Does popularity that keeps alike items apart earn more?"),),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("popular",)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """The stage of `popular`, served with a look."""
        (stage,) = study.method("popular").stages(study)
        return (looking(stage, "popular_planner"),)
