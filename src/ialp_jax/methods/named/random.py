"""Any permitted item, uniformly."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ialp_jax.methods.base import Budget, Card, Common, Data, Stage
from ialp_jax.methods.families import FIXED
from ialp_jax.methods.learners.frozen import FrozenLearner
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.fixed import RandomPolicy, fixed_actor
from ialp_jax.serving.sessions import Actor


class RandomServer(FrozenLearner):
    """Serves users with random items."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """Needs nothing but the size of the catalogue."""
        del params, data
        return fixed_actor(RandomPolicy(self.scene.num_items), greedy)


@register("random")
@dataclass(frozen=True)
class Random:
    """Any permitted item, uniformly."""

    card: ClassVar[Card] = Card(
        "random",
        "any allowed item, uniformly",
        FIXED,
        learns_online=False,
        stochastic=False,
        default=True,
        landmark="floor",
    )
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Nothing is learnt: it is only measured."""
        del study
        return (Stage("random", RandomServer, budget=Budget.MEASURE),)
