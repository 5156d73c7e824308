"""Implicit Q-learning: on logged sessions, then online with half of every batch from the logs."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.implicit import implicit_regressions
from ialp_jax.learning.row_losses import action_statistics
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
from ialp_jax.ranges import Rate, Share, Weight, between
from ialp_jax.values import checked


@struct.dataclass
class IQLHyper:
    """Numbers of implicit Q-learning."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    expectile: Annotated[float, between(0, 1)] = 0.7
    """tau of the value's regression: .5 is the behaviour's value, near 1 the best logged action's."""
    inverse_temperature: Weight = 3.0
    """beta: how much better decisions are imitated more."""
    target_rate: Share = 0.005
    """Share by which the lagging copy of Q follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


def iql_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: IQLHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The three regressions of IQL (arXiv 2110.06169, eq. 5 to 7) on rows [R]; (loss, metrics).

    `implicit_regressions` of V and Q, and L_pi = -mean(min(exp(beta (Q^(s, a) - V(s))), 100) log pi(a|s)).
    """
    fitted = implicit_regressions(params, target, network, rows, hyper)
    log_prob, entropy = action_statistics(network, params, fitted.features, rows)
    losses = {**fitted.losses, "policy_loss": -jnp.mean(fitted.weight * log_prob)}
    metrics = {**losses, **fitted.told, "entropy": jnp.mean(entropy)}
    return sum(losses.values(), jnp.float32(0.0)), metrics


class IQLLoss(LaggingLoss):
    """The three regressions, for logged rows and for replayed ones."""

    def loss(
        self,
        params: dict,
        target: dict,
        network: Network,
        rows: Experience,
        hyper: IQLHyper,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Nothing is drawn."""
        del key
        return iql_loss(params, target, network, rows, hyper)


class IQLOffline(IQLLoss, LaggingOffline):
    """IQL on logged sessions."""


class IQLOnline(IQLLoss, LaggingOnline):
    """IQL on logged sessions and on the users it serves."""


@register("iql")
@dataclass(frozen=True)
@checked
class IQL:
    """Implicit Q-learning on logged sessions, then online."""

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from first: a stated logging policy's recorded sessions, or the offline users' own choices."""
    offline: OfflineConfig = OfflineConfig()
    """Its gradient steps on logged sessions."""
    online: ReplayConfig = ReplayConfig()
    """Its gradient steps while it serves users."""
    hyper: Annotated[IQLHyper, Flat] = field(default_factory=IQLHyper)
    """Its numbers, the same for both."""

    card: ClassVar[Card] = Card(
        "IQL", "implicit Q-learning on logged sessions, then online", OFFLINE, learns_online=True,
        paper="Kostrikov et al. 2021, arXiv 2110.06169",
        rivals=(
            Rival("bc", "initial_reward", "Does IQL start above behaviour cloning?"),
            Rival("a_ialp_ft", "final_reward", "Does IQL end above A-iALP_ft?"),
            Rival("a2c", "final_reward", "Does IQL end above A2C?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then online learning from there."""
        del study
        return stages_from_logs("iql", "IQL offline", (IQLOffline, IQLOnline), self)
