"""Soft Actor-Critic over a catalogue: its sums in blocks, its losses, and a learner of one policy and several critics.

A critic is a network of its own whose policy head is Q (`values_at`).
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.critics import one_step_target
from ialp_jax.learning.experience import Experience
from ialp_jax.learning.row_losses import window_features
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.action_values import values_at
from ialp_jax.methods.learners.lagging import LaggingState, ReplayLearner
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import catalogue_distribution
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Rate, Share, at_least
from ialp_jax.serving.sessions import Actor
from ialp_jax.worlds.types import Limits, Observation

LEAST = -1e20
"""Log-probabilities below it are those of items that may not be recommended."""
Combined = Callable[[Sequence[Float[Array, "*s"]]], Float[Array, "*s"]]
"""Q of what several critics say of it, item by item."""
Reading = Callable[[Network, Sequence[dict], Observation], Sequence[Float[Array, "R h"]]]
"""What the heads of each of several critics read of windows [R, H]."""


@struct.dataclass
class SoftHyper:
    """Numbers of Soft Actor-Critic, whatever its critics."""

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


@struct.dataclass
class SoftSums:
    """Sums over what may be recommended, for R rows.

    Attributes:
        action_value: sum of pi(a) Q(a).
        entropy: of pi, in nats.
        items: how many may be recommended.
    """

    action_value: Float[Array, "R"]
    entropy: Float[Array, "R"]
    items: Int[Array, "R"]

    def value(self, temperature: Float[Array, ""] | float) -> Float[Array, "R"]:
        """Soft V = sum of pi (Q - alpha log pi)."""
        return self.action_value + temperature * self.entropy


def lowest(scores: Sequence[Float[Array, "*s"]]) -> Float[Array, "*s"]:
    """The lowest of the critics."""
    return reduce(jnp.minimum, scores)


def mean_of(scores: Sequence[Float[Array, "*s"]]) -> Float[Array, "*s"]:
    """The mean of the critics."""
    return reduce(jnp.add, scores) / len(scores)


def features_of_each(
    network: Network, critics: Sequence[dict], window: Observation
) -> list[Float[Array, "R h"]]:
    """Each critic's features of windows [R, H]."""
    return [window_features(network, one, window) for one in critics]


def stacked(critics: Sequence[dict]) -> dict:
    """Their parameters as one tree, every leaf [E, ...]."""
    tree: dict = jax.tree.map(lambda *leaves: jnp.stack(leaves), *critics)
    return tree


def features_side_by_side(
    network: Network, critics: Sequence[dict], window: Observation
) -> list[Float[Array, "R h"]]:
    """Each critic's features of windows [R, H], by one program for all critics: it compiles as fast as that of one."""
    return list(jax.vmap(lambda one: window_features(network, one, window))(stacked(critics)))


def soft_sums(
    network: Network,
    actor: dict,
    critics: Sequence[dict],
    window: Observation,
    limits: Limits,
    combined: Combined = lowest,
    reading: Reading = features_of_each,
) -> SoftSums:
    """The sums in blocks of the catalogue, forward and backward; gradients flow to the actor alone.

    Args:
        network: of the actor and of each critic, which share no parameters.
        actor: parameters whose policy head is pi.
        critics: parameters of each critic.
        window: windows [R, H].
        limits: what may be recommended, [R] rows.
        combined: Q of what the critics say.
        reading: what the critics' heads read of the windows.
    """
    critics = jax.lax.stop_gradient(tuple(critics))
    query = network.query(actor, window_features(network, actor, window))
    plan = replace(network.loss_plan(query.shape[0]), implementation="blocked")
    policy = catalogue_distribution(plan, query, *network.catalogue(actor), limits)
    features = reading(network, critics, window)
    queries = [network.query(one, read) for one, read in zip(critics, features, strict=True)]
    values = [network.value(one, read) for one, read in zip(critics, features, strict=True)]

    @jax.checkpoint
    def of_block(block: Int[Array, ""]) -> tuple[Array, Array]:
        ids, log_probs = policy.log_probs(block)

        def scores(place: int) -> Float[Array, "R M"]:
            items, bias = network.catalogue(critics[place])
            return values[place][:, None] + queries[place] @ items[ids].T + bias[ids][None]

        action_value = combined([scores(place) for place in range(len(critics))])
        counted = jnp.sum(log_probs > LEAST, axis=1, dtype=jnp.int32)
        return jnp.sum(jnp.exp(log_probs) * action_value, axis=1), counted

    action_value, items = jax.lax.map(of_block, jnp.arange(policy.blocks, dtype=jnp.int32))
    return SoftSums(jnp.sum(action_value, axis=0), policy.entropy(), jnp.sum(items, axis=0))


def soft_losses(
    params: dict,
    critics: Sequence[dict],
    network: Network,
    rows: Experience,
    hyper: SoftHyper,
    now: SoftSums,
    after: SoftSums,
    reading: Reading = features_of_each,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The losses of discrete SAC (Christodoulou 2019, arXiv 1910.07207, eq. 10 to 12) on rows [R]; (loss, metrics).

        y = r + gamma (1 - terminated) sum_b pi(b|s') (Q^(s', b) - alpha log pi(b|s'))
        L_Q = mean(sum over critics of (y - Q_i(s, a))^2) / 2
        L_pi = mean(sum_b pi(b|s) (alpha log pi(b|s) - Q(s, b)))
        L_alpha = alpha mean(H(pi(.|s)) - c log min(K, items that may be recommended))

    The sums are exact.

    Args:
        params: "log_temperature" is read.
        critics: parameters of each critic that learns.
        network: of them all.
        rows: decisions.
        hyper: the numbers.
        now: sums at the rows' states, by Q of the critics.
        after: sums at the states that they led to, by Q^ of the lagging copies.
        reading: what the critics' heads read of the windows.
    """
    temperature = jnp.exp(params["log_temperature"])
    held = jax.lax.stop_gradient(temperature)
    next_value = jax.lax.stop_gradient(after.value(held))
    goal = one_step_target(rows.reward, next_value, rows.terminated, hyper.discount)
    features = reading(network, critics, rows.window)
    pairs = zip(critics, features, strict=True)
    said = [values_at(network, one, read, rows.action) for one, read in pairs]
    most = jnp.minimum(hyper.effective_items, jnp.maximum(now.items, 1).astype(jnp.float32))
    surplus = jax.lax.stop_gradient(now.entropy) - hyper.entropy_share * jnp.log(most)
    losses = {
        "action_value_loss": 0.5 * jnp.mean(reduce(operator.add, [(goal - one) ** 2 for one in said])),
        "policy_loss": -jnp.mean(now.value(held)),
        "temperature_loss": temperature * jnp.mean(surplus),
    }
    metrics = {
        **losses,
        "action_value": jnp.mean(said[0]),
        "entropy": jnp.mean(now.entropy),
        "temperature": held,
    }
    return sum(losses.values(), jnp.float32(0.0)), metrics


CRITICS = ("first", "second")
"""Names of two critics among the parameters."""


def sac_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: SoftHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Discrete SAC's (Christodoulou 2019, arXiv 1910.07207, eq. 10 to 12) `soft_losses` on rows [R]; (loss, metrics).

    Q is the lower of the two critics, item by item, for the goal and for the policy.
    """
    now, later = ([params_of[name] for name in CRITICS] for params_of in (params, target))
    after = soft_sums(network, params["actor"], later, rows.window_after(), rows.limits_after())
    sums = soft_sums(network, params["actor"], now, rows.window, rows.limits)
    return soft_losses(params, now, network, rows, hyper, sums, after)


def soft_params(
    key: PRNGKeyArray, network: Network, actor: dict, critics: Sequence[str], hyper: SoftHyper, width: int
) -> dict:
    """A policy and critics that start apart, but for the items' embeddings; windows have `width` slots."""
    keys = jax.random.split(key, len(critics))
    params = {"actor": actor, "log_temperature": jnp.log(jnp.float32(hyper.temperature))}
    for name, one in zip(critics, keys, strict=True):
        params[name] = {**network.init(one, width), "items": actor["items"]}
    return params


@dataclass(frozen=True)
class SoftLearner(ReplayLearner):
    """Serves users by its policy. "actor" and "log_temperature" stand beside the critics among the parameters."""

    @property
    def critics(self) -> tuple[str, ...]:
        """Names of the critics among the parameters."""
        raise NotImplementedError

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[dict]) -> LaggingState:
        """Opens B sessions with an empty memory; the critics start apart, but for the items' embeddings."""
        (actor,) = start
        width = data.users_world.initial_items.shape[1]
        apart = jax.random.fold_in(key, 2)
        params = soft_params(apart, self.scene.network, actor, self.critics, hyper, width)
        return self.begin(key, params, params, window_actor(self.scene.network, actor), data)

    def actor(self, run: LaggingState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """Samples from its policy, or takes the mode."""
        del hyper, data
        return window_actor(self.scene.network, run.params["actor"], greedy)

    def product(self, run: LaggingState) -> dict:
        """Its policy's parameters."""
        actor: dict = run.params["actor"]
        return actor
