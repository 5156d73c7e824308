"""A2C over a catalogue: the learner behind iALP, A-iALP_ft and the from-scratch baseline.

What differs between those three is the world it learns in and the parameters it starts from, nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics, ItemDistribution, catalogue_distribution
from ialp_jax.ranges import Count
from ialp_jax.serving.rollout import Served, Serving, open_stream, serve_rollout
from ialp_jax.serving.sessions import Actor, AnyActor, StreamClock
from ialp_jax.serving.shares import average
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World


@dataclass(frozen=True)
class Config:
    """Static shape of a run: the compile key."""

    users: Count = 64
    """Users served at once."""
    rollout: Count = 8
    """Turns between two updates."""
    updates: Count = 400
    """Updates in the whole run; simulator steps are users x rollout x updates."""
    pool: Count = 64
    """Users drawn per update whose sessions may open during the rollout; their histories are read once."""
    block_rows: Count = 256
    """Rows per block of the catalogue head in the loss."""
    bins: Count = 100
    """Bins of the learning curve."""

    @property
    def steps(self) -> int:
        """Simulator steps of the whole run."""
        return self.users * self.rollout * self.updates

    def clock(self, turn_cap: int) -> StreamClock:
        """Clock of the ledger."""
        return StreamClock(self.rollout * self.updates, self.bins, turn_cap)


Hyper = ActorCriticHyper
Tree = Any
Flag = bool | Bool[Array, ""]


@struct.dataclass
class RunState:
    """Everything that changes during a run; resuming from it is bitwise."""

    params: dict
    optimiser: optax.OptState
    serving: Serving


@struct.dataclass
class Decision:
    """What the update needs to know of a decision.

    Attributes:
        statistics: the catalogue head's, at the recommended item.
        taught: an item a teacher preferred instead, -1 for none; None if there is no teacher.
    """

    statistics: HeadStatistics
    taught: Int[Array, "B"] | None = None


@dataclass(frozen=True)
class A2C:
    """Advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783) with GAE and correct truncation."""

    config: Config
    simulator: Simulator
    network: Network

    def init(self, key: PRNGKeyArray, hyper: Hyper, world: World, params: dict) -> RunState:
        """Opens B sessions; `params` are fresh ones, or a trained policy's to continue from (A-iALP_ft)."""
        del hyper
        actor = policy_actor(self.network, params)
        serving = open_stream(key, self.config, self.simulator, actor, world)
        return RunState(params, optimiser().init(params), serving)

    def update(self, run: RunState, hyper: Hyper, world: World) -> tuple[RunState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes one gradient step."""

        def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array]]]:
            actor = self.rollout_actor(params)
            served = serve_rollout(run.serving, self.config, self.simulator, actor, world)
            now = served.transitions
            value, (metrics, _) = actor_critic_loss(
                params, self.network, now.recall, now.reached, now, now.extras.statistics, None, hyper,
                self.config.block_rows, self.taught(run, now.extras, hyper),
            )  # fmt: skip
            return value, (served, metrics)

        gradients, (served, metrics) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        params, state = gradient_step(run.params, run.optimiser, gradients, hyper)
        return RunState(params, state, served.serving), metrics

    def rollout_actor(self, params: dict) -> AnyActor:
        """Who acts while learning."""
        return policy_actor(self.network, params)

    def taught(
        self, run: RunState, decisions: Decision, hyper: Hyper
    ) -> tuple[Array, Float[Array, ""]] | None:
        """Items to imitate and the weight of doing so; plain A2C has no teacher."""
        del run, decisions, hyper
        return None

    def actor(self, run: RunState, hyper: Hyper, greedy: Flag = False) -> Actor:
        """The policy as it stands."""
        del hyper
        return policy_actor(self.network, run.params, greedy)


def policy_actor(network: Network, params: dict, greedy: Flag = False) -> Actor:
    """A learnt policy that samples from (or takes the mode of) its distribution over the catalogue.

    `greedy` may be traced, so that one program plays both ways.
    """

    def act(key, recall, situation):  # type: ignore[no-untyped-def]
        distribution = item_distribution(network, params, recall, situation)
        item = greedy_or(greedy, distribution.mode, distribution.sample(seed=key))
        return item, Decision(distribution.statistics(item))

    def begin(observation):  # type: ignore[no-untyped-def]
        return network.begin(params, observation)

    def advance(recall, item, feedback, appended):  # type: ignore[no-untyped-def]
        return network.advance(params, recall, item, feedback, appended)

    return Actor(begin, advance, act)


def greedy_or(greedy: Flag, mode: Callable[[], Array], sample: Array) -> Array:
    """`mode()` where greedy. A Python `False` keeps it out of the program: an argmax is slow on CPUs."""
    return sample if greedy is False else jnp.where(greedy, mode(), sample)


def item_distribution(network: Network, params: dict, recall, situation) -> ItemDistribution:  # type: ignore[no-untyped-def]
    """pi(.|s) over the items that may be recommended, one row per user; for acting, so no gradient flows through."""
    params, recall = jax.lax.stop_gradient((params, recall))
    query = network.query(params, recall.features)
    items, bias = network.catalogue(params)
    plan = network.head_plan(query.shape[0])
    return catalogue_distribution(plan, query, items, bias, situation.excluded, situation.allowed)


def remaining(update: Int[Array, ""], updates: int, share: Float[Array, ""] | float) -> Float[Array, ""]:
    """1 at the start of a run of `updates`, falling linearly to 0 when `share` of it is over."""
    progress = update.astype(jnp.float32) / updates
    return jnp.maximum(0.0, 1.0 - progress / jnp.maximum(share, 1e-6))


def optimiser() -> optax.GradientTransformation:
    """Adam without its learning rate, which is data (`Hyper`) and not part of the compiled program."""
    return optax.scale_by_adam(eps=1e-5)


def gradient_step(
    params: dict, state: optax.OptState, gradients: dict, hyper: Hyper
) -> tuple[dict, optax.OptState]:
    """One step of Adam on gradients clipped by their global norm."""
    scale = jnp.minimum(1.0, hyper.gradient_norm / (optax.tree.norm(gradients) + 1e-12))
    clipped = jax.tree.map(lambda leaf: leaf * scale, gradients)
    return adam_step(params, state, clipped, hyper.learning_rate)


def adam_step(
    params: Tree, state: optax.OptState, gradients: Tree, learning_rate: Float[Array, ""] | float
) -> tuple[Tree, optax.OptState]:
    """One step of Adam."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        updates, state = optimiser().update(gradients, state, params)
    return optax.apply_updates(params, jax.tree.map(lambda leaf: -learning_rate * leaf, updates)), state
