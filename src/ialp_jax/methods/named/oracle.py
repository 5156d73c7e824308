"""Knows the simulator, and looks one recommendation ahead: what the others may be measured against, not a bound."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ialp_jax.methods.base import Budget, Card, Common, Data, Stage
from ialp_jax.methods.families import FIXED
from ialp_jax.methods.learners.frozen import FrozenLearner
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.fixed import OraclePolicy, oracle_actor
from ialp_jax.serving.sessions import PrivilegedActor


class OracleServer(FrozenLearner):
    """Serves users with the one policy that is shown their ratings."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> PrivilegedActor:
        """Privileged: serving shows it the truth."""
        del params, data
        return oracle_actor(OraclePolicy(self.scene.simulator), greedy)


@register("oracle")
@dataclass(frozen=True)
class Oracle:
    """The best-rated permitted item that does not make the user leave now."""

    card: ClassVar[Card] = Card(
        "oracle", "knows the simulator, looks one step ahead at departures; not a bound", FIXED, learns_online=False,
        stochastic=False, default=True, landmark="ceiling",
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Nothing is learnt: it is only measured."""
        del study
        return (Stage("oracle", OracleServer, budget=Budget.MEASURE),)
