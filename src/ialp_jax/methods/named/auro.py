"""Guarded exploration over the catalogue: optimistic items are recommended where the critics' mean does not speak against them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.learning.abstraction import grouped_loss, unit_features
from ialp_jax.learning.experience import Experience, experience_of
from ialp_jax.learning.row_losses import window_features
from ialp_jax.marks import OnlyAboveZero
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import VALUE_BASED
from ialp_jax.methods.learners.action_values import values_at
from ialp_jax.methods.learners.lagging import LaggingState, MemoryConfig
from ialp_jax.methods.learners.soft import (
    SoftHyper,
    SoftLearner,
    features_side_by_side,
    mean_of,
    soft_losses,
    soft_sums,
    stacked,
)
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, greedy_or, item_distribution
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue.masking import permitted
from ialp_jax.policies.encoders import Recall
from ialp_jax.ranges import Count, Weight, at_least
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.values import checked
from ialp_jax.worlds.types import Observation, Situation

ROWS = 256  # users whose whole rows of the table are looked at together


@struct.dataclass
class AUROHyper(SoftHyper):
    """Numbers of guarded exploration and of the learner below it."""

    optimism: Weight = 10.0
    """beta: candidates are looked for by the critics' mean + beta times their standard deviation; 0 by the mean alone."""
    abstraction: Annotated[Weight, OnlyAboveZero("groups")] = 0.1
    """Weight of the state abstraction's J / B^2."""


@dataclass(frozen=True)
@checked
class AUROConfig(MemoryConfig):
    """What decides the program."""

    critics: Annotated[int, at_least(2)] = 4
    """Critics whose mean and spread guard and explore."""
    considered: Count = 50
    """M: the policy's likeliest items among which candidates are looked for, or all where there are fewer."""
    candidates: Count = 5
    """m: those of them with the highest upper bound, beside the policy's own draw; at most M."""
    table_items: Annotated[int, at_least(0)] = 0
    """K: the preference table's best items of a user, among which candidates are looked for as well; 0 reads no table."""
    groups: Annotated[int, at_least(0)] = 0
    """n: groups of states by their value whose features the abstraction draws together and apart; 0 for none."""

    def __post_init__(self) -> None:
        if self.candidates > self.considered:
            raise InputError(f"{self.candidates} candidates cannot be chosen from {self.considered} items", column="candidates",
                             fix="consider more items, or choose fewer candidates")  # fmt: skip


@struct.dataclass
class Guarded:
    """What was recommended in the policy's stead.

    Attributes:
        place: of the item in the pool; -1 where the policy's own item stays.
        gain: by how much its mean exceeds that of the policy's own; 0 where that stays.
    """

    place: Int[Array, "B"]
    gain: Float[Array, "B"]


def guarded_choice(
    own: Float[Array, "E B"],
    pool: Float[Array, "E B P"],
    may: Bool[Array, "B P"],
    optimism: Float[Array, ""] | float,
    candidates: int,
) -> Guarded:
    """The highest mean among the policy's own item and the `candidates` of the highest mean + beta std (arXiv 2310.03984).

    The mean of what is recommended is so never below that of the policy's own item.

    Args:
        own: Q of the policy's item, by E critics.
        pool: Q of P other items.
        may: which of these may be recommended.
        optimism: beta, 0 or more.
        candidates: m, at most P.
    """
    mean = jnp.mean(pool, axis=0)
    upper = jnp.where(may, mean + optimism * jnp.std(pool, axis=0), -jnp.inf)
    bounds, places = jax.lax.top_k(upper, candidates)
    means = jnp.where(jnp.isfinite(bounds), jnp.take_along_axis(mean, places, axis=1), -jnp.inf)
    gain = jnp.max(means, axis=1) - jnp.mean(own, axis=0)
    best = jnp.take_along_axis(places, jnp.argmax(means, axis=1)[:, None], axis=1)[:, 0]
    return Guarded(jnp.where(gain > 0.0, best, -1), jnp.where(gain > 0.0, gain, 0.0))


def auro_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: AUROHyper, groups: int
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """`soft_losses` on rows [R], and weight * J / B^2 of the policy's features where there are groups; (loss, metrics).

    Q^ of the goal is the lowest of the lagging critics, Q of the policy the mean of all.
    """
    now, lagging = (critics_of(parts) for parts in (params, target))
    actor, reading = params["actor"], features_side_by_side
    after = soft_sums(network, actor, lagging, rows.window_after(), rows.limits_after(), reading=reading)
    sums = soft_sums(network, actor, now, rows.window, rows.limits, mean_of, reading)
    loss, metrics = soft_losses(params, now, network, rows, hyper, sums, after, reading)
    if groups:
        features = unit_features(window_features(network, actor, rows.window))
        abstraction = grouped_loss(features, jax.lax.stop_gradient(sums.action_value), groups)
        loss, metrics = loss + hyper.abstraction * abstraction, metrics | {"abstraction_loss": abstraction}
    return loss, metrics


def critics_of(params: dict) -> list[dict]:
    """Parameters of each critic."""
    return [params[name] for name in sorted(params) if name.startswith("critic")]


def table_best(prior: Float[Array, "U N"], situation: Situation, count: int) -> Int[Array, "B K"]:
    """The best permitted items of each user by the table; arbitrary ones where fewer may be recommended."""

    def of_user(seen: Situation) -> Int[Array, "K"]:
        scores = jnp.where(seen.action_mask(prior.shape[1]), prior[seen.user], -jnp.inf)
        return jax.lax.top_k(scores, count)[1].astype(jnp.int32)

    best: Int[Array, "B K"] = jax.lax.map(of_user, situation, batch_size=ROWS)
    return best


def critics_at(
    network: Network, critics: Sequence[dict], window: Observation, items: Int[Array, "B C"]
) -> Float[Array, "E B C"]:
    """Q of each of E critics at some items of every row."""

    def of_one(critic: dict) -> Float[Array, "B C"]:
        features = window_features(network, critic, window)
        return jax.vmap(lambda chosen: values_at(network, critic, features, chosen), 1, 1)(items)

    values: Float[Array, "E B C"] = jax.vmap(of_one)(stacked(critics))
    return values


@struct.dataclass
class GuardedDecision:
    """What is kept of a decision: the window, and what the guard made of the policy's item."""

    window: Observation
    guarded: Guarded


def guarded_actor(
    network: Network,
    params: dict,
    config: AUROConfig,
    optimism: Float[Array, ""] | float,
    prior: Float[Array, "U N"] | None,
    greedy: Flag = False,
) -> Actor:
    """The policy's draw, or a candidate of a higher mean; `prior` is read where the config says so. `greedy` may be traced."""
    considered = min(config.considered, network.module.num_items)
    candidates = min(config.candidates, considered)

    def act(key: PRNGKeyArray, recall: tuple[()], situation: Situation) -> tuple[Array, GuardedDecision]:
        del recall
        window, actor = situation.observation, params["actor"]
        read = Recall(window_features(network, actor, window))
        distribution = item_distribution(network, actor, read, situation)
        own = greedy_or(greedy, distribution.mode, distribution.sample(seed=key))
        pool = distribution.top_k(considered)
        if config.table_items:
            assert prior is not None, "its candidates are looked for in the preference table as well"
            best = table_best(prior, situation, min(config.table_items, prior.shape[1]))
            pool = jnp.concatenate([pool, best], axis=1)
        values = critics_at(
            network, critics_of(params), window, jnp.concatenate([own[:, None], pool], axis=1)
        )
        may = permitted(pool.T, situation.limits).T
        guarded = guarded_choice(values[..., 0], values[..., 1:], may, optimism, candidates)
        chosen = jnp.take_along_axis(pool, jnp.maximum(guarded.place, 0)[:, None], axis=1)[:, 0]
        return jnp.where(guarded.place >= 0, chosen, own), GuardedDecision(window, guarded)

    return Actor(lambda observation: (), lambda *interaction: (), act)


@dataclass(frozen=True)
class AUROLearner(SoftLearner):
    """Serves users by guarded exploration, and learns from what it remembers of them."""

    config: AUROConfig = AUROConfig()

    def __post_init__(self) -> None:
        rows = self.config.rows * self.scene.stream.users
        if self.config.groups > rows:
            raise InputError(f"{rows} replayed turns cannot be divided into {self.config.groups} groups", column="groups",
                             fix="use fewer groups, or more rows in each gradient step")  # fmt: skip

    @property
    def critics(self) -> tuple[str, ...]:
        """As many as the config says."""
        return tuple(f"critic_{place}" for place in range(self.config.critics))

    def experience(self, transitions: Transition) -> Experience:
        """Without propensities, which nothing here reads."""
        return experience_of(transitions, transitions.extras.window, jnp.zeros(transitions.reward.shape))

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`auro_loss`, which draws nothing."""
        del key
        return auro_loss(params, target, network, rows, hyper, self.config.groups)

    def told(self, transitions: Transition) -> dict[str, Array]:
        """How often the guard replaced the policy's item, and by how much higher a mean."""
        guarded = transitions.extras.guarded
        return {
            "replaced": jnp.mean((guarded.place >= 0).astype(jnp.float32)),
            "gain": jnp.mean(guarded.gain),
        }

    def actor(self, run: LaggingState, hyper: AUROHyper, data: Data, greedy: Flag = False) -> Actor:
        """As it explores; greedily the policy's mode, or what has a higher mean, without optimism."""
        optimism = jnp.where(greedy, 0.0, hyper.optimism)
        return guarded_actor(self.scene.network, run.params, self.config, optimism, data.prior, greedy)

    def product(self, run: LaggingState) -> dict:
        """The policy and the critics."""
        return run.params


@register("auro")
@dataclass(frozen=True)
@checked
class AURO:
    """AURO's guarded exploration and state abstraction, from scratch.

    Decided here, for a catalogue: instead of steps along the gradient of an upper bound, candidates are the items of the highest
    bound among the policy's likeliest M (and the preference table's best K, if asked for), and the policy's own draw is always
    one of them, so that the mean of what is recommended is never below the draw's: the paper's particles leave it out. The
    learner below is discrete Soft Actor-Critic with an ensemble, where the paper has TD3: the goal takes the lowest of the
    critics, the policy their mean, and all of them learn from the same rows, so that their spread is that of their starts. It is
    small: with beta = 1 the guard was all but greedy in the mean, and learnt less than without it in a small world (.83 of the
    optimum); with 10, chosen there, six seeds reach .96 to .98 in the mean and single ones .87.
    The abstraction is off by default. It is an auxiliary loss on the policy's encoder: phi is what that makes of a window, at unit
    length, since J alone is unbounded below, and is not an input of its own; the value is the policy's mean Q; centres are those
    of the batch, not moving averages; J is divided by B^2. It is meant for worlds that drift, of which there are none here: no
    gain is to be expected of it. A reward is a turn's, not that of a user's return after the session.
    """

    config: Annotated[AUROConfig, Flat] = AUROConfig()
    """Its gradient steps, its memory and its candidates."""
    hyper: Annotated[AUROHyper, Flat] = field(default_factory=AUROHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "AURO", "optimistic items where the critics' mean does not speak against them, learns online only", VALUE_BASED,
        learns_online=True, paper="Xue et al. 2023, arXiv 2310.03984",
        curves={"replaced": "share of the policy's items that were replaced", "entropy": "entropy of the policy (nats)"},
        rivals=(
            Rival("sac_discrete", "final_reward", "Does guarded exploration end above Soft Actor-Critic without it?"),
            Rival("sac_discrete", "mean_reward", "Does guarded exploration earn more than Soft Actor-Critic overall?"),
            Rival("dqn", "final_reward", "Does AURO end above DQN?"),
            Rival("a2c", "final_reward", "Does AURO end above A2C?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters."""
        del study
        needs = frozenset({Need.USERS, Need.PRIOR} if self.config.table_items else {Need.USERS})
        return (Stage("auro", AUROLearner, self.config, self.hyper, needs, (UNTRAINED,)),)
