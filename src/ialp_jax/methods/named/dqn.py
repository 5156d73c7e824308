"""Double deep Q-learning over the catalogue: replay of windows, a lagging copy, epsilon-greedy exploration."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience, experience_of
from ialp_jax.learning.optimiser import remaining
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import VALUE_BASED
from ialp_jax.methods.learners.action_values import exploring_actor, q_loss
from ialp_jax.methods.learners.lagging import LaggingState, MemoryConfig, ReplayLearner
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.ranges import Count, Rate, Share, Weight
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.values import checked


@struct.dataclass
class DQNHyper:
    """Numbers of Q-learning."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    explore_start: Share = 1.0
    """epsilon at the start: share of recommendations that are uniform."""
    explore_end: Share = 0.02
    """epsilon that is left at the end."""
    explore_share: Weight = 0.3
    """Share of the run over which epsilon falls linearly."""
    target_rate: Share = 0.01
    """Share by which the lagging copy follows in every gradient step."""
    gradient_norm: Rate = 10.0
    """Gradients are scaled down to at most this global norm."""


@dataclass(frozen=True)
@checked
class DQNConfig(MemoryConfig):
    """What decides the program."""

    gradient_steps: Count = 8
    """Gradient steps after every rollout."""


@dataclass(frozen=True)
class DQNLearner(ReplayLearner):
    """Serves users epsilon-greedily and learns from what it remembers of them."""

    config: DQNConfig = DQNConfig()

    def init(self, key: PRNGKeyArray, hyper: DQNHyper, data: Data, start: tuple[dict]) -> LaggingState:
        """Opens B sessions with an empty memory."""
        (params,) = start
        actor = exploring_actor(self.scene.network, params, hyper.explore_start)
        return self.begin(key, params, params, actor, data)

    def experience(self, transitions: Transition) -> Experience:
        """Without propensities, which nothing here reads."""
        return experience_of(transitions, transitions.extras, jnp.zeros(transitions.reward.shape))

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`q_loss` (arXiv 1509.06461, eq. 4)."""
        del key
        return q_loss(params, target, network, rows, hyper)

    def update(self, run: LaggingState, hyper: DQNHyper, data: Data) -> tuple[LaggingState, dict[str, Array]]:
        """As any `ReplayLearner`; shows how much it explored."""
        after, metrics = super().update(run, hyper, data)
        return after, metrics | {"epsilon": self._epsilon(run, hyper)}

    def actor(self, run: LaggingState, hyper: DQNHyper, data: Data, greedy: Flag = False) -> Actor:
        """As it explores now, or the best item."""
        del data
        epsilon = jnp.where(greedy, 0.0, self._epsilon(run, hyper))
        return exploring_actor(self.scene.network, run.params, epsilon)

    def product(self, run: LaggingState) -> dict:
        """Its parameters."""
        return run.params

    def _epsilon(self, run: LaggingState, hyper: DQNHyper) -> Float[Array, ""]:
        left = remaining(run.serving.update, self.updates, hyper.explore_share)
        return hyper.explore_end + (hyper.explore_start - hyper.explore_end) * left


@register("dqn")
@dataclass(frozen=True)
class DQN:
    """Double deep Q-learning from scratch."""

    config: Annotated[DQNConfig, Flat] = DQNConfig()
    """Its gradient steps and its memory."""
    hyper: Annotated[DQNHyper, Flat] = field(default_factory=DQNHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "DQN", "double Q-learning with replay, learns online only", VALUE_BASED, learns_online=True,
        paper="van Hasselt et al. 2015, arXiv 1509.06461", curves={"epsilon": "share of uniform recommendations"},
        rivals=(
            Rival("random", "final_reward", "Does DQN learn past random?"),
            Rival("a2c", "final_reward", "Does DQN end above A2C?"),
            Rival("a2c", "mean_reward", "Does DQN earn more than A2C overall?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters."""
        del study
        return (Stage("dqn", DQNLearner, self.config, self.hyper, after=(UNTRAINED,)),)
