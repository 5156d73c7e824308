"""The matrix factorisation goes on learning from what users answer, and keeps alike items apart."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.methods.base import Card, Common, Data, OfflineFit, Rival, Stage, online_needs
from ialp_jax.methods.families import RECOMMENDERS
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.memory import opened
from ialp_jax.ranges import Rate, Weight
from ialp_jax.recommenders.calibration import Answers, answers, calibrate, item_weights, with_one
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in
from ialp_jax.recommenders.online_factors import item_evidence, item_prior, session_tastes
from ialp_jax.recommenders.ranking import ranking_actor
from ialp_jax.recommenders.regression import Evidence
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average, total


@struct.dataclass
class OnlineFactorsHyper:
    """Numbers of the factorisation that learns online."""

    answer_weight: Weight = 3.0
    """Weight of one answer of a session in its user's taste, beside an observed pair of the logs."""
    prior_strength: Rate = 10.0
    """How many answers the offline logs count for in an item's weights."""


@struct.dataclass
class OnlineFactorsState:
    """What changes while it serves."""

    weights: Float[Array, "N k+1"]
    evidence: Evidence
    serving: Serving


@dataclass(frozen=True)
class OnlineFactorsLearner(ServingLearner):
    """Greedy on the predicted feedback; after every rollout all items are solved anew."""

    def init(
        self, key: PRNGKeyArray, hyper: OnlineFactorsHyper, data: Data, start: tuple[()]
    ) -> OnlineFactorsState:
        """Starts from the offline logs and what recorded sessions answered."""
        del start
        assert data.logged is not None
        given = answers(data.fitted, data.logged)
        weights = item_weights(data.fitted, calibrate(data.fitted, given))
        evidence = item_prior(weights, with_one(given.taste), hyper.prior_strength)
        evidence = evidence.and_also(item_evidence(given, self.scene.num_items))
        weights = evidence.mean
        return OnlineFactorsState(
            weights, evidence, self.open(key, self._acting(weights, hyper, data.hidden()), data)
        )

    def update(
        self, run: OnlineFactorsState, hyper: OnlineFactorsHyper, data: Data
    ) -> tuple[OnlineFactorsState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then regresses on their answers."""
        served = self.serve(run.serving, self.actor(run, hyper, data.hidden()), data)
        evidence = run.evidence.and_also(
            total(item_evidence(_answers(served.transitions), self.scene.num_items))
        )
        metrics = {"reward": average(jnp.mean(served.transitions.reward))}
        return OnlineFactorsState(evidence.mean, evidence, served.serving), metrics

    def actor(
        self, run: OnlineFactorsState, hyper: OnlineFactorsHyper, data: Data, greedy: Flag = False
    ) -> Actor:
        """It has no other version."""
        del greedy
        return self._acting(run.weights, hyper, data)

    def product(self, run: OnlineFactorsState) -> Float[Array, "N k+1"]:
        """The items' weights."""
        return run.weights

    def _acting(self, weights: Float[Array, "N k+1"], hyper: OnlineFactorsHyper, data: Data) -> Actor:
        slots, num_items = self.scene.simulator.config.turn_cap, self.scene.num_items
        return ranking_actor(
            view=lambda memory, situation: session_tastes(data.fitted, weights, memory, hyper.answer_weight),
            scores=lambda tastes: with_one(tastes) @ weights.T,
            begin=jax.vmap(lambda known: opened(known, slots, num_items)),
            advance=jax.vmap(lambda memory, *interaction: memory.after(*interaction)),
        )


def _answers(transitions: Transition) -> Answers:
    """A rollout [T, B], by the tastes that were known when it was served: those that predictions are made from."""
    taste: Any = transitions.extras
    return Answers(
        taste.reshape(-1, taste.shape[-1]), transitions.action.ravel(), transitions.feedback.ravel()
    )


@register("mf_planner_online")
@dataclass(frozen=True)
class OnlineFactorisationPlanner:
    """The MF planner, with tastes and items that learn from the users' answers."""

    factors: Annotated[FactorsConfig, Flat] = FactorsConfig()
    """The factorisation of the offline logs."""
    hyper: Annotated[OnlineFactorsHyper, Flat] = field(default_factory=OnlineFactorsHyper)
    """Its numbers."""
    look: bool = True
    """Whether what is too like the last recommended items is not recommended."""

    card: ClassVar[Card] = Card(
        "MF planner, online", "the MF planner, tastes and items refitted to the users' answers", RECOMMENDERS,
        learns_online=True, stochastic=False, default=True, paper="Hu et al. 2008, doi 10.1109/ICDM.2008.22",
        rivals=(Rival("mf_planner", "final_reward", "Does refitting online earn more than the offline factors?"),),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Fitted on the host, then online."""
        del study
        needs = online_needs(self.look) | {Need.RECORDED}
        fit = OfflineFit(fit_fold_in, self.factors)
        return (Stage("mf_planner_online", OnlineFactorsLearner, hyper=self.hyper, needs=needs, fitted=fit),)
