"""LinUCB over all items: one linear model of the feedback on features of user and item, optimistic about what it does not know."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.methods.base import Card, Common, Data, OfflineFit, Rival, Stage, online_needs
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.learners.linear_feedback import LinearFeedbackLearner, LinearState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.ranges import Rate, Weight
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import OfflineFactors, fit_fold_in, tastes
from ialp_jax.recommenders.pair_features import item_features, optimistic_scores
from ialp_jax.recommenders.ranking import ranking_actor
from ialp_jax.recommenders.regression import Evidence
from ialp_jax.serving.sessions import Actor


@struct.dataclass
class LinearBanditHyper:
    """Numbers of the bandit."""

    optimism: Weight = 0.5
    """How many standard deviations of its prediction an item is given the benefit of; 0 is greedy."""
    prior_variance: Rate = 1.0
    """Variance of every weight beforehand."""
    noise_variance: Rate = 0.1
    """Variance of the feedback around its prediction."""


@dataclass(frozen=True)
class LinearBanditLearner(LinearFeedbackLearner):
    """The item with the highest upper confidence bound."""

    def init(self, key: PRNGKeyArray, hyper: LinearBanditHyper, data: Data, start: tuple[()]) -> LinearState:
        """Starts from the prior, or from what recorded sessions answered."""
        del start
        evidence = self.beforehand(hyper, data)
        return LinearState(evidence, self.open(key, _acting(evidence, data.fitted, hyper.optimism), data))

    def actor(self, run: LinearState, hyper: LinearBanditHyper, data: Data, greedy: Flag = False) -> Actor:
        """As it explores now, or by the mean prediction."""
        return _acting(run.evidence, data.fitted, jnp.where(greedy, 0.0, hyper.optimism))


def _acting(evidence: Evidence, factors: OfflineFactors, optimism: Float[Array, ""] | float) -> Actor:
    items = item_features(factors)
    return ranking_actor(
        view=lambda taste, situation: taste,
        scores=jax.vmap(lambda taste: optimistic_scores(evidence, taste, items, optimism)),
        begin=lambda histories: tastes(factors, histories),
    )


@register("linear_bandit")
@dataclass(frozen=True)
class LinearBandit:
    """LinUCB with one model for all items."""

    factors: Annotated[FactorsConfig, Flat] = FactorsConfig()
    """The factorisation of the offline logs that its features are made from."""
    hyper: Annotated[LinearBanditHyper, Flat] = field(default_factory=LinearBanditHyper)
    """Its numbers."""
    recorded: bool = True
    """Whether it starts from what recorded sessions of offline users answered."""
    look: bool = True
    """Whether what is too like the last recommended items is not recommended."""

    card: ClassVar[Card] = Card(
        "linear bandit", "LinUCB on features of user and item, learns online", RECOMMENDERS, learns_online=True,
        paper="Li et al. 2010, arXiv 1003.0146",
        rivals=(
            Rival("popular_planner", "final_reward", "Does it learn past popularity, both with a look?"),
            Rival("mf_planner", "final_reward", "Does learning one linear model online beat the offline factors?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Fitted on the host, then online."""
        del study
        needs = online_needs(self.look) | ({Need.RECORDED} if self.recorded else set())
        fit = OfflineFit(fit_fold_in, self.factors)
        return (Stage("linear_bandit", LinearBanditLearner, self.recorded, self.hyper, needs, fitted=fit),)
