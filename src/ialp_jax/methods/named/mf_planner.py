"""Matrix factorisation with a look at what is alike: the strongest policy that neither learns online nor plans rewards."""

from dataclasses import dataclass
from typing import ClassVar

from ialp_jax.methods.base import Card, Common, Rival, Stage, looking
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.registry import register


@register("mf_planner")
@dataclass(frozen=True)
class FactorisationPlanner:
    """`mf`, with its options, and nothing too like the last recommended items."""

    card: ClassVar[Card] = Card(
        "MF planner", "matrix factorisation, and nothing too like the last items", RECOMMENDERS,
        learns_online=False, stochastic=False, default=True, landmark="simple",
        rivals=(
            Rival("mf", "mean_reward", "Does keeping alike items apart earn more?"),
            Rival("popular_planner", "mean_reward", "Does personal taste earn more than popularity, both with a look?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("mf",)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """The stage of `mf`, served with a look."""
        (stage,) = study.method("mf").stages(study)
        return (looking(stage, "mf_planner"),)
