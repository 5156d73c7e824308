"""Proximal policy optimisation: several clipped gradient steps on every rollout, from what users' windows show."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.learning.clipped import Acted, clipped_loss
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.returns import advantage_targets
from ialp_jax.learning.row_losses import window_features
from ialp_jax.learning.watched import value_scale
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import ACTOR_CRITIC
from ialp_jax.methods.learners.actor_critic import ActorCriticState
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.catalogue import head_statistics
from ialp_jax.policies.window import window_actor, window_after
from ialp_jax.ranges import Count, Rate, Share, Weight
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average, deviation
from ialp_jax.values import checked
from ialp_jax.worlds.types import Limits, Observation

ORDER = 1000
"""Folded into the key of serving, which splits it into a few: the order of the turns shares no numbers with the users."""


@struct.dataclass
class PPOHyper:
    """Numbers of proximal policy optimisation; each leaf may carry a sweep axis."""

    learning_rate: Rate = 2e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    trace: Share = 0.9
    """lambda of GAE."""
    clip: Rate = 0.2
    """How far from 1 the ratio of new to old probabilities may go before its gradient stops."""
    value_weight: Weight = 0.5
    """Weight of the value loss."""
    entropy: Weight = 0.01
    """eta, weight of the policy's entropy."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@dataclass(frozen=True)
@checked
class PPOConfig:
    """What decides the program."""

    epochs: Count = 4
    """How often every rollout is gone through."""
    minibatches: Count = 1
    """Pieces of a rollout, cut by turns, with one gradient step each; they must divide its turns."""
    value_clip: bool = False
    """Whether V may only move as far in a rollout as the ratio may: `clip`, in the unit of the returns."""


@struct.dataclass
class Decisions:
    """A rollout as its epochs read it: leaves [T, B, ...]."""

    window: Observation
    action: Int[Array, "T B"]
    limits: Limits
    acted: Acted


@dataclass(frozen=True)
class PPOLearner(ServingLearner):
    """PPO (Schulman et al. 2017, arXiv 1707.06347) with GAE and correct truncation.

    It acts on the window, so that every epoch recomputes a decision's features with its own parameters. Q(s, a) is not
    trained. Advantages are computed once, with the parameters that acted.
    """

    config: PPOConfig = PPOConfig()

    def __post_init__(self) -> None:
        turns, pieces = self.scene.stream.rollout, self.config.minibatches
        if turns % pieces:
            divisors = ", ".join(str(count) for count in range(1, turns + 1) if turns % count == 0)
            raise InputError(f"a rollout of {turns} turns cannot be cut into {pieces} equal minibatches",
                             column="methods.ppo.minibatches", fix=f"use one of {divisors}, or another online.rollout")  # fmt: skip

    def init(self, key: PRNGKeyArray, hyper: PPOHyper, data: Data, start: tuple[dict]) -> ActorCriticState:
        """Opens B sessions; it learns on from the parameters in `start`."""
        del hyper
        (params,) = start
        serving = self.open(key, window_actor(self.scene.network, params), data)
        return ActorCriticState(params, optimiser().init(params), serving)

    def update(
        self, run: ActorCriticState, hyper: PPOHyper, data: Data
    ) -> tuple[ActorCriticState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes epochs x minibatches gradient steps."""
        served = self.serve(run.serving, self.actor(run, hyper, data.hidden()), data)
        decisions = self.decisions(run.params, served.transitions, hyper)

        def step(learnt, turns):  # type: ignore[no-untyped-def]
            params, state = learnt
            part = jax.tree.map(lambda leaf: leaf[turns], decisions)
            gradients, metrics = average(jax.grad(self.loss, has_aux=True)(params, part, hyper))
            params, state, told = gradient_step(params, state, gradients, hyper)
            return (params, state), metrics | told

        order = self.order(jax.random.fold_in(run.serving.key, ORDER))
        (params, state), metrics = jax.lax.scan(step, (run.params, run.optimiser), order)
        metrics = jax.tree.map(jnp.mean, metrics)
        now = served.transitions
        told = value_scale(decisions.acted.values, now.reward, hyper.discount)
        told = average({"reward": jnp.mean(now.reward), **told})
        return ActorCriticState(params, state, served.serving), metrics | told

    def actor(self, run: ActorCriticState, hyper: PPOHyper, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands."""
        del hyper, data
        return window_actor(self.scene.network, run.params, greedy)

    def product(self, run: ActorCriticState) -> dict:
        """Its parameters."""
        return run.params

    def decisions(self, params: dict, served: Transition, hyper: PPOHyper) -> Decisions:
        """A rollout with its advantages and value targets, under the parameters that acted."""
        window = served.extras.window
        after = jax.vmap(window_after)(window, served.action, served.feedback, served.appended)
        values, next_values = self._values(params, window), self._values(params, after)
        targets = advantage_targets(
            served.reward, values, next_values, served.terminated, served.done, hyper.discount, hyper.trace,
            jnp.ones_like(values), 1.0,
        )  # fmt: skip
        # As in `actor_critic_loss`: a scale only, and one for the whole rollout.
        advantages = targets.advantages / (deviation(targets.advantages) + 1e-6)
        acted = Acted(served.extras.statistics.log_prob, values, advantages, targets.values)
        return Decisions(window, served.action, served.limits, acted)

    def loss(
        self, params: dict, decisions: Decisions, hyper: PPOHyper
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The clipped loss of some turns, and its metrics."""
        count = decisions.action.size
        rows = jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), decisions)
        weights = hyper.clip, hyper.value_weight, hyper.entropy
        return clipped_loss(*self.judged(params, rows), rows.acted, *weights, self.config.value_clip)

    def judged(
        self, params: dict, rows: Decisions
    ) -> tuple[Float[Array, "R"], Float[Array, "R"], Float[Array, "R"]]:
        """Log-probabilities, entropies and V of decisions [R, ...] under any parameters, from their windows."""
        network = self.scene.network
        features = window_features(network, params, rows.window)
        log_prob, entropy = head_statistics(
            network.loss_plan(rows.action.shape[0]), network.query(params, features), *network.catalogue(params),
            rows.action, rows.limits,
        )  # fmt: skip
        return log_prob, entropy, network.value(params, features)

    def order(self, key: PRNGKeyArray) -> Int[Array, "epochs*minibatches turns"]:
        """The turns of every gradient step: each epoch cuts its own permutation of the rollout."""
        turns, config = self.scene.stream.rollout, self.config
        shuffle = jax.vmap(lambda one: jax.random.permutation(one, turns))
        return shuffle(jax.random.split(key, config.epochs)).reshape(-1, turns // config.minibatches)

    def _values(self, params: dict, windows: Observation) -> Float[Array, "T B"]:
        """V of windows [T, B, H], turn by turn: the encoder then holds one turn's at once."""
        network = self.scene.network
        return jax.lax.map(
            lambda window: network.value(params, window_features(network, params, window)), windows
        )


@register("ppo")
@dataclass(frozen=True)
class PPO:
    """Proximal policy optimisation from scratch."""

    hyper: Annotated[PPOHyper, Flat] = field(default_factory=PPOHyper)
    """Numbers of the learner."""
    config: Annotated[PPOConfig, Flat] = PPOConfig()
    """How often a rollout is used."""

    card: ClassVar[Card] = Card(
        "PPO", "learns online only, several clipped steps per rollout", ACTOR_CRITIC, learns_online=True,
        paper="Schulman et al. 2017, arXiv 1707.06347", curves={"clip_fraction": "share of clipped ratios"},
        rivals=(
            Rival("a2c", "final_reward", "Does PPO end above A2C?"),
            Rival("a2c", "mean_reward", "Does PPO earn more than A2C overall?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters."""
        del study
        return (Stage("ppo", PPOLearner, self.config, self.hyper, after=(UNTRAINED,)),)
