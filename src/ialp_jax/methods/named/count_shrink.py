"""Values that shrink to a low anchor where logs are few: the squared neighbour of CQL, without a sum over the catalogue."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.row_losses import window_features
from ialp_jax.methods.base import Card, Common, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.action_values import (
    ExploringReplayConfig,
    GreedyOffline,
    GreedyOnline,
    double_q_error,
    values_at,
)
from ialp_jax.methods.learners.lagging import LaggingLoss, stages_from_logs
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.fixed import RandomPolicy
from ialp_jax.ranges import Range, Rate, Share, Weight
from ialp_jax.serving.shares import user_keys
from ialp_jax.values import checked
from ialp_jax.worlds.types import Situation


@struct.dataclass
class ShrinkHyper:
    """Numbers of values that shrink."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    shrinkage: Weight = 1.0
    """alpha: the anchor pulls at each of N items as alpha / N logged turns per row would; 0 is double Q-learning."""
    anchor: Annotated[float, Range()] = 0.0
    """q0: what an item is held to be worth that the logs say nothing of."""
    target_rate: Share = 0.005
    """Share by which the lagging copy follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


def uniform_items(key: PRNGKeyArray, rows: Experience, num_items: int) -> Int[Array, "R"]:
    """One item per row, uniform over what might be recommended there; no array of rows x items where lists exclude."""
    count = rows.action.shape[0]
    situation = Situation(jnp.zeros(count, jnp.int32), rows.window, rows.limits)
    return jax.vmap(RandomPolicy(num_items).act)(user_keys(key, count), situation)


def shrink_loss(
    params: dict,
    target: dict,
    network: Network,
    rows: Experience,
    uniform: Int[Array, "R"],
    hyper: ShrinkHyper,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The loss on rows [R] and a `uniform` item for each; (loss, metrics).

        L = mean((y - Q(s, a))^2) / 2 + alpha mean((Q(s, u) - q0)^2) / 2

    with y of `double_q_goal`. At one state, where mu is how often each of its N items was logged, its minimum is
    Q = (1 - kappa) y + kappa q0 with kappa = (alpha / N) / (mu + alpha / N): our own formula.
    """
    features = window_features(network, params, rows.window)
    error, action_value = double_q_error(params, target, network, features, rows, hyper.discount)
    unseen = values_at(network, params, features, uniform)
    penalty = 0.5 * jnp.mean((unseen - hyper.anchor) ** 2)
    metrics = {
        "action_value_loss": error,
        "penalty": penalty,
        "action_value": jnp.mean(action_value),
        "unseen_value": jnp.mean(unseen),
    }
    return error + hyper.shrinkage * penalty, metrics


class ShrinkLoss(LaggingLoss):
    """Its loss, for logged rows and for replayed ones."""

    draws_by_row = True

    def loss(
        self,
        params: dict,
        target: dict,
        network: Network,
        rows: Experience,
        hyper: ShrinkHyper,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`shrink_loss` with items drawn from the key."""
        uniform = uniform_items(key, rows, network.module.num_items)
        return shrink_loss(params, target, network, rows, uniform, hyper)


class ShrinkOffline(ShrinkLoss, GreedyOffline):
    """On logged sessions."""


class ShrinkOnline(ShrinkLoss, GreedyOnline):
    """On logged sessions and on the users it serves."""


@register("count_shrink")
@dataclass(frozen=True)
@checked
class CountShrink:
    """Q-learning on logged sessions whose values shrink to an anchor where the logs are few, then online.

    No published method: what became of a reading of the abstract of adaptive behaviour regularisation (arXiv 2211.08251), whose
    loss we do not know. CQL with a squared penalty in the place of its softmax: it needs one more item per row.

    Decided here: the anchor is a number, 0, for no session is worth less where no reward is negative; items are drawn uniformly
    from what might be recommended, one for each row in every gradient step; it serves as `cql` does, the item of the highest Q, online
    epsilon-greedily, and goes on learning by the same loss.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from first: a stated logging policy's recorded sessions, or the offline users' own choices."""
    offline: OfflineConfig = OfflineConfig()
    """Its gradient steps on logged sessions."""
    online: ExploringReplayConfig = ExploringReplayConfig()
    """Its gradient steps and its exploration while it serves users."""
    hyper: Annotated[ShrinkHyper, Flat] = field(default_factory=ShrinkHyper)
    """Its numbers, the same for both."""

    card: ClassVar[Card] = Card(
        "count-shrink", "Q that shrinks to an anchor where logs are few, then online", OFFLINE, learns_online=True,
        rivals=(
            Rival("bc", "initial_reward", "Does shrinking start above behaviour cloning?"),
            Rival("cql", "initial_reward", "Does the squared penalty start above CQL's?"),
            Rival("cql", "final_reward", "Does the squared penalty end above CQL's?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then online learning from there."""
        del study
        return stages_from_logs("count_shrink", "count-shrink offline", (ShrinkOffline, ShrinkOnline), self)
