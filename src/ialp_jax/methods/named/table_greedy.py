"""The permitted item that the preference table scores highest, without any reinforcement learning."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ialp_jax.methods.base import Budget, Card, Common, Data, Stage
from ialp_jax.methods.families import FIXED
from ialp_jax.methods.learners.frozen import FrozenLearner
from ialp_jax.methods.needs import Need
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.fixed import ScorePolicy, fixed_actor
from ialp_jax.serving.sessions import Actor


class TableServer(FrozenLearner):
    """Serves every user by their own row of the table."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """Greedy on the table's scores."""
        del params
        assert data.prior is not None
        return fixed_actor(ScorePolicy(data.prior), greedy)


@register("table_greedy")
@dataclass(frozen=True)
class TableGreedy:
    """The preference table's best permitted item."""

    card: ClassVar[Card] = Card(
        "table greedy", "the preference table's best item, no reinforcement learning", FIXED, learns_online=False,
        stochastic=False, default=True,
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Nothing is learnt: it is only measured."""
        del study
        needs = frozenset({Need.USERS, Need.PRIOR})
        return (Stage("table_greedy", TableServer, needs=needs, budget=Budget.MEASURE),)
