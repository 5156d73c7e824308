"""Discrete batch-constrained Q-learning: the best of the items that the logs support; frozen online."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.learning.critics import one_step_target
from ialp_jax.learning.experience import Experience
from ialp_jax.learning.row_losses import window_features
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.action_values import values_at
from ialp_jax.methods.learners.frozen import FrozenLearner, FrozenState
from ialp_jax.methods.learners.lagging import LaggingOffline
from ialp_jax.methods.learners.offline import OfflineConfig, OfflineState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import MASKED, catalogue_distribution, head_statistics
from ialp_jax.ranges import Rate, Share, Weight
from ialp_jax.serving.sessions import Actor
from ialp_jax.values import checked
from ialp_jax.worlds.types import Limits, Observation, Situation

ROUNDING = 1e-4
"""By how much a log-probability may fall short of the bound: the best item's own is computed in two places."""
LARGEST = 1e29
"""In the place of a Q that is no number: below all others, above what is not supported."""


@struct.dataclass
class BCQHyper:
    """Numbers of batch-constrained Q-learning."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    threshold: Rate = 0.3
    """tau: items at least this share as probable in the logs as the most probable one may be chosen; 1 or more is cloning."""
    logit_penalty: Weight = 0.01
    """Weight of the mean squared logit of the model of the logs."""
    target_rate: Share = 0.005
    """Share by which the lagging copy of Q follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class Support:
    """What serving reads: tau of `BCQHyper`."""

    threshold: Rate = 0.3


@struct.dataclass
class Supported:
    """The choice among the items that the logs support, for R rows.

    Attributes:
        item: of the highest Q among them.
        size: how many they are.
    """

    item: Int[Array, "R"]
    size: Int[Array, "R"]


def supported_items(
    network: Network,
    params: dict,
    features: Float[Array, "R h"],
    limits: Limits,
    threshold: Float[Array, ""] | float,
) -> Supported:
    """argmax of Q over {a : G(a|s) / max G >= tau}, in blocks of the catalogue; without gradients.

    Only what may be recommended is in G. Where that is nothing, all items are masked alike and one of the catalogue is still
    returned.
    """
    params, features = jax.lax.stop_gradient((params, features))
    embeddings, bias = network.catalogue(params)
    query = network.query(params, features)
    plan = network.head_plan(query.shape[0])
    model = catalogue_distribution(
        plan, model_query(network, params, features), embeddings, jnp.zeros_like(bias), limits
    )
    least = model.log_prob(model.mode()) + jnp.log(jnp.minimum(threshold, 1.0)) - ROUNDING

    def better(leader: tuple[Array, Array, Array], block: Int[Array, ""]) -> tuple[Any, None]:
        ids, log_probs = model.log_probs(block)
        inside: Bool[Array, "R M"] = log_probs >= least[:, None]
        scores = jnp.nan_to_num(query @ embeddings[ids].T + bias[ids][None], nan=-LARGEST)
        scores = jnp.where(inside, scores, MASKED)
        best, item = jnp.max(scores, axis=1), ids[jnp.argmax(scores, axis=1)]
        size = leader[2] + jnp.sum(inside, axis=1, dtype=jnp.int32)
        return (jnp.maximum(leader[0], best), jnp.where(best > leader[0], item, leader[1]), size), None

    nobody = jnp.zeros(query.shape[0], jnp.int32)
    start = (jnp.full(query.shape[0], -jnp.inf), nobody, nobody)
    _, item, size = jax.lax.scan(better, start, jnp.arange(model.blocks, dtype=jnp.int32))[0]
    return Supported(item, size)


def model_query(network: Network, params: dict, features: Float[Array, "R h"]) -> Float[Array, "R e"]:
    """U h: the model of the logs is G(a|s) = softmax(<U h, e_a>), by the head that other methods have their critic in."""
    query: Any = network.module.apply(
        {"params": params}, features, method=lambda module, rows: module.advantage_head(rows)
    )
    return query  # type: ignore[no-any-return]


def mean_squared_logit(query: Float[Array, "R e"], items: Float[Array, "N e"]) -> Float[Array, ""]:
    """Mean of <q, e_a>^2 over rows and the whole catalogue, what may not be recommended too.

    By the e x e matrix of the items' products: no rows x items array.
    """
    return jnp.mean(jnp.sum((query @ (items.T @ items)) * query, axis=1)) / items.shape[0]


def bcq_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: BCQHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Discrete BCQ (Fujimoto et al. 2019, arXiv 1910.01708, algorithm 1) on rows [R]; (loss, metrics).

        L = mean(Huber(y - Q(s, a))) - mean(log G(a|s)) + .01 mean(logits of G ^2)
        y = r + gamma (1 - terminated) Q^(s', argmax of Q over {a : G(a|s') / max G >= tau})

    with Q^ of the lagging copy and Huber's bound at 1. Q is read off the policy head (`values_at`).
    """
    features = window_features(network, params, rows.window)
    window = rows.window_after()
    after = window_features(network, params, window)
    chosen = supported_items(network, params, after, rows.limits_after(), hyper.threshold)
    action_value = values_at(network, params, features, rows.action)
    next_value = values_at(network, target, window_features(network, target, window), chosen.item)
    goal = one_step_target(rows.reward, jax.lax.stop_gradient(next_value), rows.terminated, hyper.discount)
    query, items = model_query(network, params, features), network.catalogue(params)[0]
    log_prob, entropy = head_statistics(
        network.loss_plan(query.shape[0]), query, items, jnp.zeros(items.shape[0]), rows.action, rows.limits
    )
    losses = {
        "action_value_loss": jnp.mean(optax.huber_loss(action_value, goal)),
        "model_loss": -jnp.mean(log_prob),
    }
    metrics = {
        **losses,
        "supported": jnp.mean(chosen.size.astype(jnp.float32)),
        "action_value": jnp.mean(action_value),
        "entropy": jnp.mean(entropy),
    }
    return sum(losses.values(), hyper.logit_penalty * mean_squared_logit(query, items)), metrics


def supported_actor(network: Network, params: dict, threshold: Float[Array, ""] | float) -> Actor:
    """The item of the highest Q among those that the logs support; remembers nothing but its window."""

    def act(key: PRNGKeyArray, recall: Any, situation: Situation) -> tuple[Array, Observation]:
        del key, recall
        features = window_features(network, params, situation.observation)
        chosen = supported_items(network, params, features, situation.limits, threshold)
        return chosen.item, situation.observation

    return Actor(lambda observation: (), lambda *interaction: (), act)


class BCQOffline(LaggingOffline):
    """BCQ on logged sessions."""

    def loss(
        self,
        params: dict,
        target: dict,
        network: Network,
        rows: Experience,
        hyper: BCQHyper,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Nothing is drawn."""
        del key
        return bcq_loss(params, target, network, rows, hyper)

    def actor(self, run: OfflineState, hyper: BCQHyper, data: Data, greedy: Flag = False) -> Actor:
        """Its choice among the items that the logs support; it is its own greedy version."""
        del data, greedy
        return supported_actor(self.scene.network, run.params, hyper.threshold)


class BCQServing(FrozenLearner):
    """What was learnt from the logs, as it is: parameters, and a lagging copy that nothing reads any more."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """Opens sessions, which no threshold decides."""
        del data, greedy
        (learnt, _) = params[0]
        return supported_actor(self.scene.network, learnt, 1.0)

    def actor(self, run: FrozenState, hyper: Support, data: Data, greedy: Flag = False) -> Actor:
        """Its choice among the items that the logs support."""
        del data, greedy
        (learnt, _) = run.params[0]
        return supported_actor(self.scene.network, learnt, hyper.threshold)


@register("bcq")
@dataclass(frozen=True)
@checked
class BCQ:
    """Discrete batch-constrained Q-learning on logged sessions, then frozen.

    Decided here, where descriptions differ: an item as probable as tau times the best one is still in (at tau = 1 the best
    one is left, which is cloning); the squared logits are averaged over the whole catalogue; G has no biases of items
    beside their embeddings; the lagging copy follows by Polyak averaging; nothing is explored while it serves.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from: a stated logging policy's recorded sessions, or the offline users' own choices."""
    config: Annotated[OfflineConfig, Flat] = OfflineConfig()
    """Its gradient steps."""
    hyper: Annotated[BCQHyper, Flat] = field(default_factory=BCQHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "BCQ", "the best of what the logs support, frozen online", OFFLINE, learns_online=False, stochastic=False,
        paper="Fujimoto et al. 2019, arXiv 1910.01708",
        rivals=(
            Rival("bc", "mean_reward", "Does BCQ earn more than behaviour cloning?"),
            Rival("iql", "initial_reward", "Does BCQ start above IQL?"),
            Rival("popular", "mean_reward", "Does BCQ earn more than popularity?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then the policy as it is."""
        del study
        logged = Need.RECORDED if self.source == "recorded" else Need.LOGS
        first = Stage(
            "BCQ offline",
            BCQOffline,
            self.config,
            self.hyper,
            frozenset({logged}),
            (UNTRAINED,),
            budget=Budget.NONE,
        )
        support = Support(self.hyper.threshold)
        return first, Stage("bcq", BCQServing, hyper=support, after=(first,), budget=Budget.MEASURE)
