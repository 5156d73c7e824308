"""Behaviour cloning: next-item prediction on logged sessions, as GRU4Rec does with a full softmax; frozen online."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.row_losses import action_statistics, liked_mean, window_features
from ialp_jax.marks import Since
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, Rival, Stage, online_needs
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.offline import FrozenWindow, OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.ranges import Rate, Share
from ialp_jax.serving.shares import average
from ialp_jax.values import checked


@struct.dataclass
class CloningHyper:
    """Numbers of behaviour cloning."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""
    liked: Share = 0.25
    """Only items with at least this feedback in [0, 1] are imitated; 0 imitates all."""


def cloning_loss(
    params: dict, network: Network, rows: Experience, liked: Float[Array, ""] | float
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """-mean(log pi(a|s)) over the rows whose feedback is at least `liked`; (loss, metrics)."""
    log_prob, entropy = action_statistics(
        network, params, window_features(network, params, rows.window), rows
    )
    imitated = (rows.feedback >= liked).astype(jnp.float32)
    loss = -liked_mean(log_prob, rows.feedback, liked)
    return loss, {"loss": loss, "entropy": jnp.mean(entropy), "imitated": jnp.mean(imitated)}


@dataclass(frozen=True)
class CloningLearner(OfflineLearner):
    """Gradient steps on the log-probability of what was logged and liked."""

    def init(self, key: PRNGKeyArray, hyper: CloningHyper, data: Data, start: tuple[dict]) -> OfflineState:
        """Starts from the parameters in `start`."""
        del hyper, data
        return OfflineState(start[0], (), optimiser().init(start[0]), key, jnp.int32(0))

    def update(
        self, run: OfflineState, hyper: CloningHyper, data: Data
    ) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        key, batch_key = jax.random.split(run.key)
        rows = self.batch(batch_key, data)
        loss = jax.grad(cloning_loss, has_aux=True)
        gradients, metrics = average(loss(run.params, self.scene.network, rows, hyper.liked))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return OfflineState(params, (), state, key, run.update + 1), metrics | told


@register("bc")
@dataclass(frozen=True)
@checked
class BehaviourCloning:
    """Next-item prediction on logged sessions, then frozen."""

    source: Literal["logs", "recorded"] = "logs"
    """What it imitates: the offline users' own choices, or a stated logging policy's recorded recommendations."""
    config: Annotated[OfflineConfig, Flat] = OfflineConfig()
    """Its gradient steps."""
    hyper: Annotated[CloningHyper, Flat] = field(default_factory=CloningHyper)
    """Its numbers."""
    look: Annotated[bool, Since(False)] = False
    """Whether what is too like the last recommended items is not recommended."""

    card: ClassVar[Card] = Card(
        "behaviour cloning", "next item of the logs (GRU4Rec's task), frozen online", OFFLINE, learns_online=False,
        paper="Hidasi et al. 2016, arXiv 1511.06939",
        rivals=(
            Rival("popular", "mean_reward", "Does next-item prediction earn more than popularity?"),
            Rival("ialp", "mean_reward", "Does next-item prediction earn more than pre-training on preferences?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then the policy as it is."""
        del study
        needs = frozenset({Need.LOGS if self.source == "logs" else Need.RECORDED})
        first = Stage(
            "behaviour cloning",
            CloningLearner,
            self.config,
            self.hyper,
            needs,
            (UNTRAINED,),
            budget=Budget.NONE,
        )
        served = online_needs(self.look)
        return first, Stage("bc", FrozenWindow, needs=served, after=(first,), budget=Budget.MEASURE)
