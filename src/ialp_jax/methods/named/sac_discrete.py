"""Soft Actor-Critic over the catalogue: two critics, a policy of a wanted entropy, replay of windows; learns online."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.critics import one_step_target
from ialp_jax.learning.experience import Experience, experience_of
from ialp_jax.learning.replay import Replay
from ialp_jax.learning.row_losses import window_features
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import ACTOR_CRITIC
from ialp_jax.methods.learners.action_values import values_at
from ialp_jax.methods.learners.lagging import LaggingState, ReplayLearner
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import catalogue_distribution
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Count, Rate, Share, at_least
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.values import checked
from ialp_jax.worlds.types import Limits, Observation

CRITICS = ("first", "second")
"""Names of the critics among the parameters; "actor" and "log_temperature" stand beside them."""
LEAST = -1e20
"""Log-probabilities below it are those of items that may not be recommended."""


@struct.dataclass
class SACHyper:
    """Numbers of Soft Actor-Critic."""

    learning_rate: Rate = 1e-3
    """Step size of Adam, for the critics, the policy and its temperature."""
    discount: Share = 0.95
    """gamma."""
    temperature: Rate = 0.2
    """alpha at the start: what a nat of entropy is worth, in units of the reward."""
    entropy_share: Share = 0.89
    """c: the wanted entropy is this share of that of a uniform choice among K items."""
    effective_items: Annotated[float, at_least(1)] = 50.0
    """K: that many items, or all that may be recommended where they are fewer."""
    target_rate: Share = 0.01
    """Share by which the lagging critics follow in every gradient step."""
    gradient_norm: Rate = 10.0
    """Gradients of all parts together are scaled down to at most this global norm."""


@dataclass(frozen=True)
@checked
class SACConfig:
    """What decides the program."""

    gradient_steps: Count = 4
    """Gradient steps after every rollout."""
    rows: Count = 4
    """Replayed turns of every user in each of them."""
    kept_turns: Count = 512
    """Turns of every user that are kept for replay."""


@struct.dataclass
class SoftSums:
    """Sums over what may be recommended, for R rows.

    Attributes:
        lowest: sum of pi(a) min(Q1(a), Q2(a)).
        entropy: of pi, in nats.
        items: how many may be recommended.
    """

    lowest: Float[Array, "R"]
    entropy: Float[Array, "R"]
    items: Int[Array, "R"]

    def value(self, temperature: Float[Array, ""] | float) -> Float[Array, "R"]:
        """Soft V = sum of pi (min Q - alpha log pi)."""
        return self.lowest + temperature * self.entropy


def soft_sums(network: Network, actor: dict, critics: dict, window: Observation, limits: Limits) -> SoftSums:
    """The sums in blocks of the catalogue, forward and backward; gradients flow to the actor alone.

    Args:
        network: of the actor and of each critic, which share no parameters.
        actor: parameters whose policy head is pi.
        critics: parameters of `CRITICS`, whose policy heads are Q (`values_at`).
        window: windows [R, H].
        limits: what may be recommended, [R] rows.
    """
    critics = jax.lax.stop_gradient({name: critics[name] for name in CRITICS})
    query = network.query(actor, window_features(network, actor, window))
    plan = replace(network.loss_plan(query.shape[0]), implementation="blocked")
    policy = catalogue_distribution(plan, query, *network.catalogue(actor), limits)
    features = {name: window_features(network, one, window) for name, one in critics.items()}
    queries = {name: network.query(one, features[name]) for name, one in critics.items()}
    values = {name: network.value(one, features[name]) for name, one in critics.items()}

    @jax.checkpoint
    def of_block(block: Int[Array, ""]) -> tuple[Array, Array]:
        ids, log_probs = policy.log_probs(block)

        def scores(name: str) -> Float[Array, "R M"]:
            items, bias = network.catalogue(critics[name])
            return values[name][:, None] + queries[name] @ items[ids].T + bias[ids][None]

        lowest = jnp.minimum(*(scores(name) for name in CRITICS))
        counted = jnp.sum(log_probs > LEAST, axis=1, dtype=jnp.int32)
        return jnp.sum(jnp.exp(log_probs) * lowest, axis=1), counted

    lowest, items = jax.lax.map(of_block, jnp.arange(policy.blocks, dtype=jnp.int32))
    return SoftSums(jnp.sum(lowest, axis=0), policy.entropy(), jnp.sum(items, axis=0))


def sac_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: SACHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The losses of discrete SAC (Christodoulou 2019, arXiv 1910.07207, eq. 10 to 12) on rows [R]; (loss, metrics).

        y = r + gamma (1 - terminated) sum_b pi(b|s') (min Q^(s', b) - alpha log pi(b|s'))
        L_Q = mean((y - Q1(s, a))^2 + (y - Q2(s, a))^2) / 2
        L_pi = mean(sum_b pi(b|s) (alpha log pi(b|s) - min Q(s, b)))
        L_alpha = alpha mean(H(pi(.|s)) - c log min(K, items that may be recommended))

    with Q^ of the lagging copies. The sums are exact.
    """
    temperature = jnp.exp(params["log_temperature"])
    held = jax.lax.stop_gradient(temperature)
    after = soft_sums(network, params["actor"], target, rows.window_after(), rows.limits_after())
    next_value = jax.lax.stop_gradient(after.value(held))
    goal = one_step_target(rows.reward, next_value, rows.terminated, hyper.discount)
    first, second = (
        values_at(network, params[name], window_features(network, params[name], rows.window), rows.action)
        for name in CRITICS
    )
    now = soft_sums(network, params["actor"], params, rows.window, rows.limits)
    most = jnp.minimum(hyper.effective_items, jnp.maximum(now.items, 1).astype(jnp.float32))
    surplus = jax.lax.stop_gradient(now.entropy) - hyper.entropy_share * jnp.log(most)
    losses = {
        "action_value_loss": 0.5 * jnp.mean((goal - first) ** 2 + (goal - second) ** 2),
        "policy_loss": -jnp.mean(now.value(held)),
        "temperature_loss": temperature * jnp.mean(surplus),
    }
    metrics = {
        **losses,
        "action_value": jnp.mean(first),
        "entropy": jnp.mean(now.entropy),
        "temperature": held,
    }
    return sum(losses.values(), jnp.float32(0.0)), metrics


@dataclass(frozen=True)
class SACLearner(ReplayLearner):
    """Serves users by its policy and learns from what it remembers of them."""

    config: SACConfig = SACConfig()

    def init(self, key: PRNGKeyArray, hyper: SACHyper, data: Data, start: tuple[dict]) -> LaggingState:
        """Opens B sessions with an empty memory; the critics start apart, but for the items' embeddings."""
        (actor,) = start
        width = data.users_world.initial_items.shape[1]
        keys = jax.random.split(jax.random.fold_in(key, 2), len(CRITICS))
        params = {"actor": actor, "log_temperature": jnp.log(jnp.float32(hyper.temperature))}
        for name, one in zip(CRITICS, keys, strict=True):
            params[name] = {**self.scene.network.init(one, width), "items": actor["items"]}
        return self.begin(key, params, params, window_actor(self.scene.network, actor), data)

    def experience(self, transitions: Transition) -> Experience:
        """With the probabilities it drew by."""
        extras: Any = transitions.extras
        return experience_of(transitions, extras.window, extras.statistics.log_prob)

    def drawn(self, key: PRNGKeyArray, replay: Replay, data: Data) -> tuple[Experience, PRNGKeyArray]:
        """Replayed turns; the loss draws nothing."""
        del data
        return replay.sample(key, self.config.rows), key

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`sac_loss`."""
        del key
        return sac_loss(params, target, network, rows, hyper)

    def actor(self, run: LaggingState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """Samples from its policy, or takes the mode."""
        del hyper, data
        return window_actor(self.scene.network, run.params["actor"], greedy)

    def product(self, run: LaggingState) -> dict:
        """Its policy's parameters."""
        actor: dict = run.params["actor"]
        return actor


@register("sac_discrete")
@dataclass(frozen=True)
class SACDiscrete:
    """Soft Actor-Critic from scratch.

    Not the "SAC" of Xin et al. 2020 (a weighted cross-entropy), which has the name alone in common. Decided here, where
    descriptions differ: the wanted entropy is c log K of K items that are in play, not of the catalogue, of which .9 log N
    would be nearly all; K is at most what a row may be recommended, else no policy could have that entropy; actor and critics
    are three networks, which start from the same embeddings of the items; critics lag by Polyak averaging instead of a copy
    every 8000 steps.
    """

    config: Annotated[SACConfig, Flat] = SACConfig()
    """Its gradient steps and its memory."""
    hyper: Annotated[SACHyper, Flat] = field(default_factory=SACHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "SAC-discrete", "Soft Actor-Critic over the catalogue, learns online only", ACTOR_CRITIC, learns_online=True,
        paper="Christodoulou 2019, arXiv 1910.07207",
        curves={"entropy": "entropy of the policy (nats)", "temperature": "what a nat of entropy is worth"},
        rivals=(
            Rival("random", "final_reward", "Does SAC-discrete learn past random?"),
            Rival("a2c", "final_reward", "Does SAC-discrete end above A2C?"),
            Rival("dqn", "final_reward", "Does SAC-discrete end above DQN?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters."""
        del study
        return (Stage("sac_discrete", SACLearner, self.config, self.hyper, after=(UNTRAINED,)),)
