"""Conservative Q-learning: on logged sessions, then online with half of every batch from the logs."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.row_losses import action_statistics, window_features
from ialp_jax.methods.base import Card, Common, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.action_values import (
    ExploringReplayConfig,
    GreedyOffline,
    GreedyOnline,
    double_q_error,
)
from ialp_jax.methods.learners.lagging import LaggingLoss, stages_from_logs
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.ranges import Rate, Share, Weight
from ialp_jax.values import checked


@struct.dataclass
class CQLHyper:
    """Numbers of conservative Q-learning."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    conservatism: Weight = 1.0
    """alpha: how much Q is pushed down at what was not logged; 0 is double Q-learning on the logs."""
    target_rate: Share = 0.005
    """Share by which the lagging copy follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


def cql_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: CQLHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Discrete CQL(H) (Kumar et al. 2020, arXiv 2006.04779, eq. 4) on rows [R]; (loss, metrics).

        L = mean((y - Q(s, a))^2) / 2 + alpha mean(log sum_b exp Q(s, b) - Q(s, a))

    with y of `double_q_goal`. V(s) cancels in the penalty: it is -log softmax(Q)(a|s), which the policy head computes in
    tiles over what may be recommended. So it also clones: where rewards are far below alpha, little else is left.
    """
    features = window_features(network, params, rows.window)
    error, action_value = double_q_error(params, target, network, features, rows, hyper.discount)
    log_prob, entropy = action_statistics(network, params, features, rows)
    penalty = -jnp.mean(log_prob)
    metrics = {
        "action_value_loss": error,
        "penalty": penalty,
        "action_value": jnp.mean(action_value),
        "entropy": jnp.mean(entropy),
    }
    return error + hyper.conservatism * penalty, metrics


class CQLLoss(LaggingLoss):
    """Its loss, for logged rows and for replayed ones."""

    def loss(
        self,
        params: dict,
        target: dict,
        network: Network,
        rows: Experience,
        hyper: CQLHyper,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Nothing is drawn."""
        del key
        return cql_loss(params, target, network, rows, hyper)


class CQLOffline(CQLLoss, GreedyOffline):
    """CQL on logged sessions."""


class CQLOnline(CQLLoss, GreedyOnline):
    """CQL on logged sessions and on the users it serves."""


@register("cql")
@dataclass(frozen=True)
@checked
class CQL:
    """Conservative Q-learning on logged sessions, then online.

    Decided here, where descriptions differ: the squared error has no Huber bound, as in the paper; one Q and its lagging copy
    by Polyak averaging instead of a copy every 8000 steps (d3rlpy); it serves the item of the highest Q, online
    epsilon-greedily; and it goes on learning online by the same loss, which is what Cal-QL is compared with.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from first: a stated logging policy's recorded sessions, or the offline users' own choices."""
    offline: OfflineConfig = OfflineConfig()
    """Its gradient steps on logged sessions."""
    online: ExploringReplayConfig = ExploringReplayConfig()
    """Its gradient steps and its exploration while it serves users."""
    hyper: Annotated[CQLHyper, Flat] = field(default_factory=CQLHyper)
    """Its numbers, the same for both."""

    card: ClassVar[Card] = Card(
        "CQL", "conservative Q-learning on logged sessions, then online", OFFLINE, learns_online=True,
        paper="Kumar et al. 2020, arXiv 2006.04779",
        rivals=(
            Rival("bc", "initial_reward", "Does CQL start above behaviour cloning?"),
            Rival("iql", "initial_reward", "Does CQL start above IQL?"),
            Rival("dqn", "final_reward", "Does CQL end above DQN, which has no logs?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then online learning from there."""
        del study
        return stages_from_logs("cql", "CQL offline", (CQLOffline, CQLOnline), self)
