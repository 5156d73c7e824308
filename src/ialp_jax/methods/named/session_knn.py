"""Item-based nearest neighbours of what the session liked, by the offline users' logs."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import jax

from ialp_jax.methods.base import Budget, Card, Common, Data, OfflineFit, Rival, Stage, online_needs
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.learners.frozen import FrozenLearner
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.recommenders.neighbours import NeighboursConfig, fit_neighbours, neighbour_scores
from ialp_jax.recommenders.ranking import ranking_actor
from ialp_jax.serving.sessions import Actor


class NeighbourServer(FrozenLearner):
    """Greedy on the similarity to the window's items."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """It remembers nothing but what the window shows."""
        del params, greedy
        return ranking_actor(
            view=lambda recall, situation: situation.observation,
            scores=jax.vmap(lambda history: neighbour_scores(data.fitted, history)),
        )


@register("session_knn")
@dataclass(frozen=True)
class SessionNeighbours:
    """The item most similar to what the user liked lately."""

    config: Annotated[NeighboursConfig, Flat] = NeighboursConfig()
    """Its similarities."""
    look: bool = False
    """Whether what is too like the last recommended items is not recommended."""

    card: ClassVar[Card] = Card(
        "session kNN", "the item most similar to what the session liked", RECOMMENDERS, learns_online=False,
        stochastic=False, paper="Sarwar et al. 2001, doi 10.1145/371920.372071",
        rivals=(Rival("popular", "mean_reward", "Do neighbours of the session's items earn more than popularity?"),),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Fitted on the host, then measured."""
        del study
        fit = OfflineFit(fit_neighbours, self.config)
        needs = online_needs(self.look)
        return (Stage("session_knn", NeighbourServer, needs=needs, fitted=fit, budget=Budget.MEASURE),)
