"""The preference table's best items, with a look at what is alike."""

from dataclasses import dataclass
from typing import ClassVar

from ialp_jax.methods.base import Card, Common, Rival, Stage, looking
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.registry import register


@register("table_planner")
@dataclass(frozen=True)
class TablePlanner:
    """`table_greedy`, and nothing too like the last recommended items."""

    card: ClassVar[Card] = Card(
        "table planner", "the preference table, and nothing too like the last items", RECOMMENDERS, learns_online=False,
        stochastic=False, default=True, landmark="simple",
        rivals=(Rival("table_greedy", "mean_reward", "Does the table earn more when alike items are kept apart?"),),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("table_greedy",)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """The stage of `table_greedy`, served with a look."""
        (stage,) = study.method("table_greedy").stages(study)
        return (looking(stage, "table_planner"),)
