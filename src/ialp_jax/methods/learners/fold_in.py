"""A factorisation of the offline users' logs that serves users by their histories, and learns nothing."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import PRNGKeyArray

from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.frozen import FrozenLearner, FrozenState
from ialp_jax.policies.actor import Flag
from ialp_jax.recommenders.calibration import answers, calibrate, item_weights, uncalibrated, with_one
from ialp_jax.recommenders.fold_in import tastes
from ialp_jax.recommenders.ranking import ranking_actor
from ialp_jax.serving.sessions import Actor


@dataclass(frozen=True)
class FoldInServer(FrozenLearner):
    """Greedy on the feedback that a user's history predicts; `config` says whether recorded sessions calibrate it."""

    config: bool = True

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[Any, ...]) -> FrozenState:
        """Calibrates, and opens B sessions."""
        scale = uncalibrated()
        if self.config:
            assert data.logged is not None
            scale = calibrate(data.fitted, answers(data.fitted, data.logged))
        return super().init(key, hyper, data, (item_weights(data.fitted, scale), *start))

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """Users are folded in when their sessions open."""
        del greedy
        weights, factors = params[0], data.fitted
        return ranking_actor(
            view=lambda users, situation: users,
            scores=lambda users: users @ weights.T,
            begin=lambda histories: with_one(tastes(factors, histories)),
        )
