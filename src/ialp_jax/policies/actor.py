"""A network as an actor: it samples from, or takes the mode of, its distribution over the catalogue."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics, ItemDistribution, catalogue_distribution
from ialp_jax.policies.encoders import Recall
from ialp_jax.serving.sessions import Actor
from ialp_jax.worlds.types import Situation

Flag = bool | Bool[Array, ""]


@struct.dataclass
class Asked:
    """What users answer to items that were not recommended to them.

    Attributes:
        item: Q items for each of B users.
        feedback: in [0, 1].
    """

    item: Int[Array, "*s Q"]
    feedback: Float[Array, "*s Q"]


@struct.dataclass
class Decision:
    """What an update needs to know of a decision.

    Attributes:
        statistics: the catalogue head's, at the recommended item.
        taught: an item a teacher preferred instead, -1 for none; None if there is no teacher.
        asked: answers of imagined users to other items; None where nobody asks.
    """

    statistics: HeadStatistics
    taught: Int[Array, "B"] | None = None
    asked: Asked | None = None


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


def item_distribution(
    network: Network, params: dict, recall: Recall, situation: Situation
) -> ItemDistribution:
    """pi(.|s) over the items that may be recommended, one row per user; for acting, so no gradient flows through."""
    params, recall = jax.lax.stop_gradient((params, recall))
    query = network.query(params, recall.features)
    items, bias = network.catalogue(params)
    plan = network.head_plan(query.shape[0])
    return catalogue_distribution(plan, query, items, bias, situation.limits)
