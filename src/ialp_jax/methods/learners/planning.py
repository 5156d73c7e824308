"""Plans of one or two recommendations, drawn near a policy and scored by their novelty."""

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.learning.row_losses import window_features
from ialp_jax.methods.learners.novelty import Novelty
from ialp_jax.policies.actor import Flag, greedy_or, item_distribution
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import ItemDistribution, catalogue_distribution
from ialp_jax.policies.catalogue.masking import permitted
from ialp_jax.policies.encoders import Recall
from ialp_jax.policies.window import window_after
from ialp_jax.recommenders.feedback_ensemble import member_feedback
from ialp_jax.recommenders.fold_in import OfflineFactors, tastes
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import draw
from ialp_jax.worlds.types import Limits, Observation, Situation


class PlanSize(Protocol):
    """How large a plan is: `depth` 1 or 2, items drawn in each state, answers imagined to each first item."""

    @property
    def depth(self) -> int:
        """Recommendations that it is long."""

    @property
    def proposals(self) -> int:
        """w."""

    @property
    def answers(self) -> int:
        """S."""


class PlanNumbers(Protocol):
    """What a later turn is worth beside an earlier one, and how wide it looks around the policy."""

    @property
    def discount(self) -> Any:
        """gamma."""

    @property
    def noise(self) -> Any:
        """What logits are divided by."""

    @property
    def planned(self) -> Any:
        """How often a plan is followed."""


@dataclass(frozen=True)
class Knowledge:
    """What a plan reads beside the policy: factors, models of the feedback, the kind of novelty and what it knows."""

    factors: OfflineFactors
    members: Float[Array, "E d"] | None
    novelty: Novelty
    known: Any


def wide_policy(
    network: Network, actor: dict, window: Observation, limits: Limits, noise: Float[Array, ""] | float
) -> ItemDistribution:
    """softmax(logits / noise): the item of the highest logit + noise times a Gumbel number is drawn from it."""
    query = network.query(actor, window_features(network, actor, window))
    return catalogue_distribution(
        network.head_plan(query.shape[0]), query, *network.catalogue(actor), limits, noise
    )


def following(limits: Limits, item: Int[Array, "R"]) -> Limits:
    """What may be recommended after an item: not itself either, where repeats are masked at all."""
    if not limits.excluded.shape[-1]:
        return limits
    return limits.replace(excluded=jnp.concatenate([limits.excluded, item[:, None]], axis=1))  # type: ignore[attr-defined, no-any-return]


def imagined_feedback(
    key: PRNGKeyArray, known: Knowledge, taste: Float[Array, "B k"], items: Int[Array, "B w"], count: int
) -> Float[Array, "B w S"]:
    """Answers to every item, each by a member drawn anew."""
    assert known.members is not None
    said = jnp.moveaxis(member_feedback(known.factors, known.members, taste, items), 0, -1)
    members = known.members.shape[0]

    def sample(key: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "*s"]:
        return jax.random.randint(key, shape, 0, members)

    asked = draw(sample, key, (*items.shape, count))
    return jnp.take_along_axis(said, asked, axis=-1)


def plan_scores(
    key: PRNGKeyArray,
    network: Network,
    actor: dict,
    situation: Situation,
    known: Knowledge,
    config: PlanSize,
    hyper: PlanNumbers,
) -> tuple[Int[Array, "B w"], Float[Array, "B w"]]:
    """The w first items of B users that were drawn, and the score of each.

    A second level where nothing may be recommended counts nothing. Nobody leaves in a plan, so that the mean novelty, which the
    paper subtracts from each level, is the same for all first items and is left out.
    """
    first_key, novel_key, answer_key, second_key, later_key = jax.random.split(key, 5)
    window, limits, count = situation.observation, situation.limits, config.proposals
    first = (
        wide_policy(network, actor, window, limits, hyper.noise)
        .sample(seed=first_key, sample_shape=(count,))
        .T
    )
    taste, item = tastes(known.factors, window), known.factors.item
    score = known.novelty.of(known.known, novel_key, item, taste, first)
    if config.depth == 1:
        return first, score
    feedback = imagined_feedback(answer_key, known, taste, first, config.answers)
    rows = feedback.size

    def each(leaf: Array) -> Array:
        return jnp.repeat(leaf, rows // leaf.shape[0], axis=0)

    chosen = each(first.reshape(-1))
    after = window_after(jax.tree.map(each, window), chosen, feedback.reshape(-1), jnp.ones(rows, bool))
    left = following(jax.tree.map(each, limits), chosen)
    second = (
        wide_policy(network, actor, after, left, hyper.noise).sample(seed=second_key, sample_shape=(count,)).T
    )
    novel = known.novelty.of(known.known, later_key, item, tastes(known.factors, after), second)
    counted: Bool[Array, "R w"] = permitted(second.T, left).T
    later = jnp.mean(jnp.where(counted, novel, 0.0).reshape(*first.shape, -1), axis=-1)
    return first, score + hyper.discount * later


@struct.dataclass
class PlannedDecision:
    """What is kept of a decision.

    Attributes:
        window: what was acted on.
        planned: whether the plan's item was recommended.
        gain: score of the plan's item less that of the mean proposal.
    """

    window: Observation
    planned: Bool[Array, "B"]
    gain: Float[Array, "B"]


def planning_actor(
    network: Network,
    actor: dict,
    known: Knowledge,
    config: PlanSize,
    hyper: PlanNumbers,
    greedy: Flag = False,
) -> Actor:
    """The policy's draw, or as often as `planned` says the plan's item; greedily the policy's mode. `greedy` may be traced."""

    def act(key: PRNGKeyArray, recall: Any, situation: Situation) -> tuple[Array, PlannedDecision]:
        del recall
        plan_key, own_key, coin_key = jax.random.split(key, 3)
        read = Recall(window_features(network, actor, situation.observation))
        policy = item_distribution(network, actor, read, situation)
        own = greedy_or(greedy, policy.mode, policy.sample(seed=own_key))

        def plan() -> tuple[Array, Array]:
            # Equal scores need no draw: the first of them stands where chance has put it.
            held = jax.lax.stop_gradient(actor)
            first, score = plan_scores(plan_key, network, held, situation, known, config, hyper)
            best = jnp.argmax(score, axis=1)[:, None]
            gain = jnp.max(score, axis=1) - jnp.mean(score, axis=1)
            return jnp.take_along_axis(first, best, axis=1)[:, 0], gain

        nothing = own, jnp.zeros(own.shape)
        there, gain = plan() if greedy is False else jax.lax.cond(jnp.asarray(greedy), lambda: nothing, plan)
        planned = draw(jax.random.uniform, coin_key, own.shape) < jnp.where(greedy, 0.0, hyper.planned)
        item = jnp.where(planned, there, own)
        return item, PlannedDecision(situation.observation, planned, gain)

    return Actor(lambda observation: (), lambda *interaction: (), act)
