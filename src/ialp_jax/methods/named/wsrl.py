"""Warm-start RL: Cal-QL on logged sessions, a warm-up that fills the memory, then Q-learning without the logs."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.replay import Replay
from ialp_jax.methods.base import Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.action_values import GreedyOnline, q_loss
from ialp_jax.methods.learners.lagging import LaggingState, MemoryConfig, ReplayLearner
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.ranges import Rate, Share
from ialp_jax.values import checked


@struct.dataclass
class WSRLHyper:
    """Numbers of warm-start RL online."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    warm_up: Share = 0.05
    """Share of the rollouts that the policy from the logs serves as it is, before anything is learnt."""
    target_rate: Share = 0.005
    """Share by which the lagging copy follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@dataclass(frozen=True)
@checked
class WSRLConfig(MemoryConfig):
    """What decides the program of online learning."""

    explore: Share = 0.02
    """epsilon: share of recommendations that are uniform over what is permitted, in the warm-up too."""


@dataclass(frozen=True)
class WSRLOnline(GreedyOnline):
    """Serves users epsilon-greedily; after the warm-up it learns from them alone."""

    config: WSRLConfig = WSRLConfig()  # type: ignore[assignment]

    def drawn(self, key: PRNGKeyArray, replay: Replay, data: Data) -> tuple[Experience, PRNGKeyArray]:
        """Replayed turns alone: the logs are not kept."""
        return ReplayLearner.drawn(self, key, replay, data)

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`q_loss`: the goal of `calql` without its penalty."""
        del key
        return q_loss(params, target, network, rows, hyper)

    def warming(self, run: LaggingState, hyper: WSRLHyper) -> Bool[Array, ""]:
        """Whether the next rollout is one of the warm-up."""
        return run.serving.update.astype(jnp.float32) < hyper.warm_up * self.updates

    def update(
        self, run: LaggingState, hyper: WSRLHyper, data: Data
    ) -> tuple[LaggingState, dict[str, Array]]:
        """As any `ReplayLearner`; in the warm-up its gradient steps are computed, and not taken.

        Runs side by side are one program, and each may warm up for longer than others.
        """
        after, metrics = super().update(run, hyper, data)
        warming = self.warming(run, hyper)
        parts = {
            name: (getattr(run, name), getattr(after, name)) for name in ("params", "target", "optimiser")
        }
        held = {
            name: jax.tree.map(lambda old, new: jnp.where(warming, old, new), *pair)
            for name, pair in parts.items()
        }
        return after.replace(**held), metrics | {"warming": warming.astype(jnp.float32)}  # type: ignore[attr-defined]


@register("wsrl")
@dataclass(frozen=True)
@checked
class WSRL:
    """Warm-start RL: Cal-QL's policy from the logs, which serves users unchanged at first, then learns from them alone.

    It builds on `calql`, as the paper does: Cal-QL's values are on the scale of what sessions paid, so that Q-learning without
    a penalty can go on from them. `iql` would bring a policy beside its values, and no such scale.

    Decided here, where descriptions differ: the paper's online learner is Soft Actor-Critic with ten critics and many steps per
    turn; here it is double Q-learning on the one Q of `calql`, whose policy is the item of the highest Q, and which keeps its
    lagging copy; Adam starts anew; the warm-up is a share of the rollouts (the paper: 5000 turns), and serves with the epsilon
    that is used afterwards, for a policy without chance shows one item per state; the turns of the warm-up stay in the memory
    until others take their places.
    """

    online: WSRLConfig = WSRLConfig()
    """Its gradient steps, its memory and its exploration while it serves users."""
    hyper: Annotated[WSRLHyper, Flat] = field(default_factory=WSRLHyper)
    """Its numbers online."""

    card: ClassVar[Card] = Card(
        "WSRL", "Cal-QL on logged sessions, then Q-learning without them", OFFLINE, learns_online=True,
        paper="Zhou et al. 2024, arXiv 2412.07762", curves={"warming": "share of rollouts in the warm-up"},
        rivals=(
            Rival("calql", "final_reward", "Does it end above Cal-QL, which keeps the logs and the penalty?"),
            Rival("calql", "mean_reward", "Does it earn more than Cal-QL online?"),
            Rival("dqn", "mean_reward", "Does the warm start earn more than Q-learning from scratch?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("calql",)
    unread: ClassVar[tuple[str, ...]] = ("calql.online",)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Cal-QL's gradient steps on the logs, then online learning that reads users alone."""
        first = study.method("calql").stages(study)[0]
        return first, Stage("wsrl", WSRLOnline, self.online, self.hyper, after=(first,))
