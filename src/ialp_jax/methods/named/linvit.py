"""LINVIT as an actor-critic: the preference table is a policy that the return is regularised towards.

iALP reads the table as a reward, which changes what is optimal. Here it is a prior, whose bias goes with its weight:

    J = E[sum_t gamma^t (r_t - lambda KL(pi(.|s_t) || pi_L(.|s_t)))],     lambda falling to 0 during the run

(Zhang et al. 2024, arXiv 2402.16181, whose value iteration on counted transitions becomes an actor-critic on the shared
network; their exploration bonuses are left out). It starts from untrained parameters: no policy is fitted to pi_L
beforehand, the regularisation itself leads there. Nor is there an offline stage in the table's world, where the same
table would be prior and reward at once.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import jax
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step, optimiser, remaining
from ialp_jax.learning.prior import prior_log_prob
from ialp_jax.marks import OnlyAboveZero
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.actor_critic import ActorCriticState
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, policy_actor
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics
from ialp_jax.ranges import PositiveShare, Range, Rate, Weight
from ialp_jax.serving.rollout import Served
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average
from ialp_jax.worlds.types import Situation

ROWS = 256
"""Users whose whole rows of the table are looked at together: what a turn holds does not grow with the users served."""


@struct.dataclass
class LinvitHyper(GradientHyper):
    """Numbers of an actor-critic that is held to a prior."""

    kl: Weight = 0.1
    """lambda at the start, weight of KL(pi || pi_L) in the return; 0 is plain actor-critic."""
    kl_share: Annotated[float, Range(0, infinite=True), OnlyAboveZero("kl")] = 0.5
    """Share of the run over which that weight falls linearly to 0. Infinity keeps it as it is."""
    prior_temperature: Annotated[Rate, OnlyAboveZero("kl")] = 0.1
    """What the table's scores are divided by before their softmax."""
    prior_floor: Annotated[PositiveShare, OnlyAboveZero("kl")] = 0.05
    """Share of pi_L that is spread evenly over the permitted items."""


@struct.dataclass
class GuidedDecision:
    """What an update needs to know of a decision.

    Attributes:
        statistics: the catalogue head's, at the recommended item.
        prior: log pi_L of that item.
    """

    statistics: HeadStatistics
    prior: Float[Array, "B"]


@dataclass(frozen=True)
class LinvitLearner(ServingLearner):
    """Advantage actor-critic on the regularised return; `actor_critic_loss` says which term goes where."""

    def init(self, key: PRNGKeyArray, hyper: LinvitHyper, data: Data, start: tuple[dict]) -> ActorCriticState:
        """Opens B sessions; it learns on from the parameters in `start`."""
        (params,) = start
        serving = self.open(key, guided_actor(self.scene.network, params, hyper, data.hidden()), data)
        return ActorCriticState(params, optimiser().init(params), serving)

    def update(
        self, run: ActorCriticState, hyper: LinvitHyper, data: Data
    ) -> tuple[ActorCriticState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes one gradient step."""
        network = self.scene.network
        weight = hyper.kl * remaining(run.serving.update, self.updates, hyper.kl_share)

        def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array]]]:
            served = self.serve(run.serving, guided_actor(network, params, hyper, data.hidden()), data)
            now = served.transitions
            value, (metrics, _) = actor_critic_loss(
                params, network, now.recall, now.reached, now, now.extras.statistics, None, hyper,
                prior=(now.extras.prior, weight),
            )  # fmt: skip
            return value, (served, {**metrics, "kl_weight": weight})

        gradients, (served, metrics) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return ActorCriticState(params, state, served.serving), metrics | told

    def actor(self, run: ActorCriticState, hyper: LinvitHyper, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands."""
        return guided_actor(self.scene.network, run.params, hyper, data, greedy)

    def product(self, run: ActorCriticState) -> dict:
        """Its parameters."""
        return run.params


@register("linvit")
@dataclass(frozen=True)
class Linvit:
    """LINVIT: learns online, held to the preference table's policy at first."""

    hyper: Annotated[LinvitHyper, Flat] = field(default_factory=LinvitHyper)
    """Numbers of the learner."""

    card: ClassVar[Card] = Card(
        "LINVIT", "learns online, held to the preference table's policy at first", PREFERENCES, learns_online=True,
        exported=True, paper="arXiv 2402.16181",
        curves={"kl": "KL to the table's policy", "kl_weight": "weight of that KL"},
        rivals=(
            Rival("a2c", "initial_reward", "Does the table as a prior help at the start?"),
            Rival("a2c", "final_reward", "Does the table as a prior end above A2C?"),
            Rival("table_greedy", "final_reward", "Does learning end above the table alone?"),
            Rival("ialp", "initial_reward", "Does the table as a prior start above the table as a reward?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters."""
        del study
        needs = frozenset({Need.USERS, Need.PRIOR})
        return (Stage("linvit", LinvitLearner, (), self.hyper, needs, (UNTRAINED,)),)


def guided_actor(
    network: Network, params: dict, hyper: LinvitHyper, data: Data, greedy: Flag = False
) -> Actor:
    """The policy itself; it notes what the table's policy thinks of its items."""
    actor = policy_actor(network, params, greedy)

    def act(key, recall, situation):  # type: ignore[no-untyped-def]
        item, decision = actor.act(key, recall, situation)
        return item, GuidedDecision(decision.statistics, table_log_prob(data, hyper, situation, item))

    return Actor(actor.begin, actor.advance, act)


def table_log_prob(
    data: Data, hyper: LinvitHyper, situation: Situation, item: Int[Array, "B"]
) -> Float[Array, "B"]:
    """log pi_L of one permitted item per user, from the table's row of that user."""
    prior = data.prior
    assert prior is not None, "this method reads the preference table"

    def of_user(row: tuple[Situation, Int[Array, ""]]) -> Float[Array, ""]:
        seen, chosen = row
        permitted = seen.action_mask(prior.shape[1])
        return prior_log_prob(prior[seen.user], permitted, chosen, hyper.prior_temperature, hyper.prior_floor)

    return jax.lax.map(of_user, (situation, item), batch_size=ROWS)
