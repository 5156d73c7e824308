"""LinUCB over all items: one linear model of the feedback on features of user and item, optimistic about what it does not know."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.methods.base import Card, Common, Data, OfflineFit, Rival, Stage, online_needs
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.ranges import Rate, Weight
from ialp_jax.recommenders.calibration import answers
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import OfflineFactors, fit_fold_in, tastes
from ialp_jax.recommenders.pair_features import item_features, lift, optimistic_scores
from ialp_jax.recommenders.ranking import ranking_actor
from ialp_jax.recommenders.regression import Evidence, observed, prior
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average, total


@struct.dataclass
class LinearBanditHyper:
    """Numbers of the bandit."""

    optimism: Weight = 0.5
    """How many standard deviations of its prediction an item is given the benefit of; 0 is greedy."""
    prior_variance: Rate = 1.0
    """Variance of every weight beforehand."""
    noise_variance: Rate = 0.1
    """Variance of the feedback around its prediction."""


@struct.dataclass
class LinearBanditState:
    """What changes while it serves."""

    evidence: Evidence
    serving: Serving


@dataclass(frozen=True)
class LinearBanditLearner(ServingLearner):
    """The item with the highest upper confidence bound; `config` says whether it starts from recorded sessions."""

    config: bool = True

    def init(
        self, key: PRNGKeyArray, hyper: LinearBanditHyper, data: Data, start: tuple[()]
    ) -> LinearBanditState:
        """Starts from the prior, or from what recorded sessions answered."""
        del start
        evidence = prior(jnp.zeros(2 * data.fitted.item.shape[1] + 3), hyper.prior_variance)
        if self.config:
            assert data.logged is not None
            given = answers(data.fitted, data.logged)
            evidence = evidence.and_also(
                answered(data.fitted, given.taste, given.item, given.feedback, hyper.noise_variance)
            )
        actor = _acting(evidence, data.fitted, hyper.optimism)
        return LinearBanditState(evidence, self.open(key, actor, data))

    def update(
        self, run: LinearBanditState, hyper: LinearBanditHyper, data: Data
    ) -> tuple[LinearBanditState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then learns from their answers."""
        served = self.serve(run.serving, self.actor(run, hyper, data.hidden()), data)
        now = served.transitions
        taste: Any = now.extras
        rows = taste.reshape(-1, taste.shape[-1]), now.action.ravel(), now.feedback.ravel()
        evidence = run.evidence.and_also(total(answered(data.fitted, *rows, hyper.noise_variance)))
        return LinearBanditState(evidence, served.serving), {"reward": average(jnp.mean(now.reward))}

    def actor(
        self, run: LinearBanditState, hyper: LinearBanditHyper, data: Data, greedy: Flag = False
    ) -> Actor:
        """As it explores now, or by the mean prediction."""
        return _acting(run.evidence, data.fitted, jnp.where(greedy, 0.0, hyper.optimism))

    def product(self, run: LinearBanditState) -> Evidence:
        """What is known of the weights."""
        return run.evidence


def answered(
    factors: OfflineFactors,
    taste: Float[Array, "R k"],
    item: Int[Array, "R"],
    feedback: Float[Array, "R"],
    noise_variance: Float[Array, ""] | float,
) -> Evidence:
    """What R answers say of the weights."""
    features = jax.vmap(lambda taste, item: lift(taste) @ item)(taste, item_features(factors)[item])
    return observed(features, feedback, noise_variance)


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
