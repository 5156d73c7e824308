"""The permitted item that most offline users interacted with."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from ialp_jax.data.dataset import Dataset, offline_popularity
from ialp_jax.methods.base import Budget, Card, Common, Data, OfflineFit, Rival, Stage
from ialp_jax.methods.families import FIXED
from ialp_jax.methods.learners.frozen import FrozenLearner
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.fixed import ScorePolicy, fixed_actor
from ialp_jax.serving.sessions import Actor


def popularity_row(dataset: Dataset, config: Any) -> Float[np.ndarray, "1 N"]:
    """Interactions of each item in the offline users' logs: one row for everybody."""
    del config
    return offline_popularity(dataset)[None]


class PopularServer(FrozenLearner):
    """Serves everybody with the same ranking."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """Greedy on the counts."""
        del params
        return fixed_actor(ScorePolicy(data.fitted), greedy)


@register("popular")
@dataclass(frozen=True)
class Popular:
    """The permitted item with the most interactions in the offline users' logs."""

    card: ClassVar[Card] = Card(
        "popular", "the offline users' most liked items", FIXED, learns_online=False, stochastic=False, default=True,
        landmark="simple",
        rivals=(Rival("random", "mean_reward", "Is popularity already a strong policy?"),),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Counted on the host, then measured."""
        del study
        return (Stage("popular", PopularServer, fitted=OfflineFit(popularity_row), budget=Budget.MEASURE),)
