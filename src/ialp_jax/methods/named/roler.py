"""Reward shaping by nearest records: pre-trained in the logs' world on what alike users answered to an item; frozen online."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.methods.base import (
    UNTRAINED,
    Budget,
    Card,
    Common,
    Data,
    OfflineFit,
    Rival,
    Stage,
    online_needs,
)
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.frozen import FrozenNetwork
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, policy_actor
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics
from ialp_jax.ranges import Weight
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in, tastes
from ialp_jax.recommenders.records import (
    Nearest,
    Records,
    RecordsConfig,
    directions,
    nearest_records,
    records_of,
)
from ialp_jax.serving.rollout import Served, Serving
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average
from ialp_jax.values import checked
from ialp_jax.worlds.types import Observation
from ialp_jax.worlds.world import World


@struct.dataclass
class ShapingHyper(GradientHyper):
    """Numbers of an actor-critic on shaped rewards."""

    penalty: Weight = 0.05
    """lambda: what a user nothing of whom is alike costs, in units of feedback; 0 is the plain mean of the nearest."""


def shaped_feedback(
    nearest: Nearest, imagined: Float[Array, "*s"], penalty: Float[Array, ""] | float
) -> Float[Array, "*s"]:
    """mean feedback of the nearest records - lambda their mean distance, in the manner of ROLeR (arXiv 2407.13163).

    `imagined` feedback stands in the place of the mean where nobody's answer to the item was recorded, at the largest distance.
    """
    estimate = jnp.where(nearest.count > 0, nearest.feedback, imagined)
    return estimate - penalty * nearest.distance


def shaped_rewards(
    nearest: Nearest,
    transitions: Transition,
    world: World,
    penalty: Float[Array, ""] | float,
    pays_leavers: bool,
) -> Float[Array, "T B"]:
    """`shaped_feedback` of a rollout in units of its rewards; 0 for turns that are not paid because the user left."""
    feedback = shaped_feedback(nearest, transitions.feedback, penalty)
    rating = world.rating_low + feedback * (world.rating_high - world.rating_low)
    paid = jnp.bool_(True) if pays_leavers else ~transitions.terminated
    return jnp.where(paid, rating / world.rating_high, 0.0)


@struct.dataclass
class ShapedDecision:
    """What an update needs to know of a decision: the catalogue head's statistics, and whose session it was."""

    statistics: HeadStatistics
    user: Int[Array, "B"]


def noting_actor(network: Network, params: dict, greedy: Flag = False) -> Actor:
    """The policy itself; it notes whom it serves."""
    actor = policy_actor(network, params, greedy)

    def act(key, recall, situation):  # type: ignore[no-untyped-def]
        item, decision = actor.act(key, recall, situation)
        return item, ShapedDecision(decision.statistics, situation.user)

    return Actor(actor.begin, actor.advance, act)


@struct.dataclass
class ShapedState:
    """Everything that changes, and the records, which do not: they are made once.

    Attributes:
        users: direction of every imagined user's taste.
    """

    params: dict
    optimiser: optax.OptState
    serving: Serving
    records: Records
    users: Float[Array, "U k"]


@dataclass(frozen=True)
class ShapedLearner(ServingLearner):
    """Advantage actor-critic in an imagined world, whose rewards are those that records suggest."""

    config: RecordsConfig = RecordsConfig()

    def init(self, key: PRNGKeyArray, hyper: ShapingHyper, data: Data, start: tuple[dict]) -> ShapedState:
        """Opens B sessions of imagined users; learns on from the parameters in `start`."""
        del hyper
        assert data.logged is not None
        (params,) = start
        world = data.users_world
        known = tastes(data.fitted, Observation(world.initial_items, world.initial_feedback))
        serving = self.open(key, noting_actor(self.scene.network, params), data)
        records = records_of(data.fitted, data.logged)
        return ShapedState(params, optimiser().init(params), serving, records, directions(known))

    def update(
        self, run: ShapedState, hyper: ShapingHyper, data: Data
    ) -> tuple[ShapedState, dict[str, Array]]:
        """Serves `rollout` turns to every imagined user, then takes one gradient step."""
        network = self.scene.network

        def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array]]]:
            served = self.serve(run.serving, noting_actor(network, params), data)
            now, nearest = self.shaped(run, served.transitions, hyper, data.users_world)
            value, (metrics, _) = actor_critic_loss(
                params, network, now.recall, now.reached, now, now.extras.statistics, None, hyper
            )
            told = {"distance": nearest.distance, "unrecorded": (nearest.count == 0).astype(jnp.float32)}
            return value, (served, metrics | jax.tree.map(jnp.mean, told))

        gradients, (served, metrics) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return ShapedState(params, state, served.serving, run.records, run.users), metrics | told

    def shaped(
        self, run: ShapedState, now: Transition, hyper: ShapingHyper, world: World
    ) -> tuple[Transition, Nearest]:
        """A rollout [T, B] with shaped rewards, and what its decisions' nearest records say."""
        asked = (run.users[now.extras.user.reshape(-1)], now.action.reshape(-1))
        nearest = nearest_records(run.records, *asked, self.config)
        nearest = jax.tree.map(lambda leaf: leaf.reshape(now.action.shape), nearest)
        pays_leavers = self.scene.simulator.config.pay_on_departure
        rewards = shaped_rewards(nearest, now, world, hyper.penalty, pays_leavers)
        return now.replace(reward=rewards), nearest  # type: ignore[attr-defined]

    def actor(self, run: ShapedState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands."""
        del hyper, data
        return policy_actor(self.scene.network, run.params, greedy)

    def product(self, run: ShapedState) -> dict:
        """Its parameters."""
        return run.params


@register("roler")
@dataclass(frozen=True)
@checked
class Roler:
    """Reward shaping by nearest records and a penalty for their distance, in the manner of ROLeR; then frozen.

    Decided here, from descriptions of the paper: the world model is the package's world of the logs, which decides who
    leaves and what enters a history; of a user and an item the reward is the mean feedback of the k nearest recorded users who
    met that item, less lambda times their mean distance (the paper compares several such penalties, and multiplies by one less
    the distance in the end). Users are their tastes, folded in from the history that opened the session; the distance is
    (1 - cosine) / 2. lambda is .05 because sessions of one synthetic study were half as long with .5 (one seed each): perhaps a
    reward that the penalty makes negative speaks for ending the session. Where nobody met the item, the world's own reward
    stands, at the largest distance. Of an item with very many records the first are looked through. Nothing is learnt of rewards or of their uncertainty. DORL's
    entropy penalty, which the paper keeps, and its own tracker of states are left out: the policy has an entropy bonus, and
    the shared encoder.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """Whose answers are averaged: recorded sessions of offline users, or what they logged themselves."""
    config: Annotated[RecordsConfig, Flat] = RecordsConfig()
    """Its neighbours."""
    factors: FactorsConfig = FactorsConfig()
    """The factorisation of the logs in which users are near or far."""
    hyper: Annotated[ShapingHyper, Flat] = field(default_factory=ShapingHyper)
    """Numbers of pre-training."""

    card: ClassVar[Card] = Card(
        "ROLeR", "pre-trained on what alike users answered, less a penalty where none is alike, frozen online", OFFLINE,
        learns_online=False, paper="Zhang et al. 2024, arXiv 2407.13163",
        rivals=(
            Rival("bc", "mean_reward", "Does reward shaping earn more than behaviour cloning?"),
            Rival("mf", "mean_reward", "Does a policy on shaped rewards earn more than factorisation alone?"),
            Rival("ialp", "initial_reward", "Do nearest records start above iALP's imagined users?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Pre-training in the logs' world, then the policy as it is."""
        del study
        logged = Need.RECORDED if self.source == "recorded" else Need.LOGS
        first = Stage("ROLeR pre-training", ShapedLearner, self.config, self.hyper, frozenset({Need.LOGS_WORLD, logged}),
                      (UNTRAINED,), OfflineFit(fit_fold_in, self.factors), Budget.PRETRAIN)  # fmt: skip
        return first, Stage(
            "roler", FrozenNetwork, needs=online_needs(False), after=(first,), budget=Budget.MEASURE
        )
