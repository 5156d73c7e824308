"""Advantage-weighted actor-critic: on logged sessions, then online with half of every batch from the logs."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.critics import advantage_weight, one_step_target
from ialp_jax.learning.experience import Experience
from ialp_jax.learning.row_losses import action_statistics, value_and_action_value, window_features
from ialp_jax.learning.watched import apart, value_scale
from ialp_jax.methods.base import Card, Common, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.lagging import (
    LaggingLoss,
    LaggingOffline,
    LaggingOnline,
    ReplayConfig,
    stages_from_logs,
)
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import catalogue_distribution
from ialp_jax.ranges import Rate, Share
from ialp_jax.values import checked


@struct.dataclass
class AWACHyper:
    """Numbers of advantage-weighted actor-critic."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    temperature: Rate = 1.0
    """lambda: the smaller, the more only what is better than the policy is imitated."""
    target_rate: Share = 0.005
    """Share by which the lagging copy of Q follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


def awac_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: AWACHyper, key: PRNGKeyArray
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The losses of AWAC (Nair et al. 2020, arXiv 2006.09359, eq. 9 and 13) on rows [R]; (loss, metrics).

        L_V = mean((Q^(s, a~) - V(s))^2) / 2, a~ ~ pi(.|s)    L_Q = mean((r + gamma (1 - terminated) V(s') - Q(s, a))^2) / 2
        L_pi = -mean(min(exp((Q^(s, a) - V(s)) / lambda), 100) log pi(a|s))

    with Q^ of the lagging copy. V is the policy's own value, by one item that it draws: no sum over the catalogue.
    """
    features = window_features(network, params, rows.window)
    value, action_value = value_and_action_value(network, params, features, rows.action)
    query, catalogue = jax.lax.stop_gradient((network.query(params, features), network.catalogue(params)))
    plan = network.head_plan(query.shape[0])
    drawn = catalogue_distribution(plan, query, *catalogue, rows.limits).sample(seed=key)
    lagging = window_features(network, target, rows.window)
    logged, own = (network.action_value(target, lagging, items) for items in (rows.action, drawn))
    next_value = network.value(params, window_features(network, params, rows.window_after()))
    logged, own, next_value = jax.lax.stop_gradient((logged, own, next_value))
    goal = one_step_target(rows.reward, next_value, rows.terminated, hyper.discount)
    log_prob, entropy = action_statistics(network, params, features, rows)
    weight = advantage_weight(jax.lax.stop_gradient(logged - value), 1.0 / hyper.temperature)
    losses = {
        "value_loss": 0.5 * jnp.mean((own - value) ** 2),
        "action_value_loss": 0.5 * jnp.mean((goal - action_value) ** 2),
        "policy_loss": -jnp.mean(weight * log_prob),
    }
    metrics = {
        **losses,
        "value": jnp.mean(value),
        "weight_of_imitation": jnp.mean(weight),
        "entropy": jnp.mean(entropy),
        **value_scale(network.value(params, apart(features)), rows.reward, hyper.discount),
    }
    return sum(losses.values(), jnp.float32(0.0)), metrics


class AWACLoss(LaggingLoss):
    """AWAC's losses, for logged rows and for replayed ones."""

    draws_by_row = True

    def loss(
        self,
        params: dict,
        target: dict,
        network: Network,
        rows: Experience,
        hyper: AWACHyper,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The policy's own items are drawn from the key."""
        return awac_loss(params, target, network, rows, hyper, key)


class AWACOffline(AWACLoss, LaggingOffline):
    """AWAC on logged sessions."""


class AWACOnline(AWACLoss, LaggingOnline):
    """AWAC on logged sessions and on the users it serves."""


@register("awac")
@dataclass(frozen=True)
@checked
class AWAC:
    """Advantage-weighted actor-critic on logged sessions, then online."""

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from first: a stated logging policy's recorded sessions, or the offline users' own choices."""
    offline: OfflineConfig = OfflineConfig()
    """Its gradient steps on logged sessions."""
    online: ReplayConfig = ReplayConfig()
    """Its gradient steps while it serves users."""
    hyper: Annotated[AWACHyper, Flat] = field(default_factory=AWACHyper)
    """Its numbers, the same for both."""

    card: ClassVar[Card] = Card(
        "AWAC", "advantage-weighted imitation of logged sessions, then online", OFFLINE, learns_online=True,
        paper="Nair et al. 2020, arXiv 2006.09359",
        rivals=(
            Rival("bc", "initial_reward", "Does AWAC start above behaviour cloning?"),
            Rival("iql", "final_reward", "Does AWAC end above IQL?"),
            Rival("a2c", "final_reward", "Does AWAC end above A2C?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then online learning from there."""
        del study
        return stages_from_logs("awac", "AWAC offline", (AWACOffline, AWACOnline), self)
