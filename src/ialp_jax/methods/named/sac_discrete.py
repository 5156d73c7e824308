"""Soft Actor-Critic over the catalogue: two critics, a policy of a wanted entropy, replay of windows; learns online."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.methods.base import UNTRAINED, Card, Common, Rival, Stage
from ialp_jax.methods.families import ACTOR_CRITIC
from ialp_jax.methods.learners.lagging import MemoryConfig
from ialp_jax.methods.learners.soft import CRITICS, SoftHyper, SoftLearner, sac_loss
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.values import checked


@struct.dataclass
class SACHyper(SoftHyper):
    """Numbers of Soft Actor-Critic."""


@dataclass(frozen=True)
@checked
class SACConfig(MemoryConfig):
    """What decides the program."""


@dataclass(frozen=True)
class SACLearner(SoftLearner):
    """Serves users by its policy and learns from what it remembers of them."""

    config: SACConfig = SACConfig()

    @property
    def critics(self) -> tuple[str, ...]:
        """Two."""
        return CRITICS

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`sac_loss`, which draws nothing."""
        del key
        return sac_loss(params, target, network, rows, hyper)


@register("sac_discrete")
@dataclass(frozen=True)
class SACDiscrete:
    """Soft Actor-Critic from scratch.

    Not the "SAC" of Xin et al. 2020 (a weighted cross-entropy), which has the name alone in common. Decided here, where
    descriptions differ: the wanted entropy is c log K of K items that are in play, not of the catalogue, of which .9 log N
    would be nearly all; K is at most what a row may be recommended, else no policy could have that entropy; actor and critics
    are three networks, which start from the same embeddings of the items; critics lag by Polyak averaging instead of a copy
    every 8000 steps.
    """

    config: Annotated[SACConfig, Flat] = SACConfig()
    """Its gradient steps and its memory."""
    hyper: Annotated[SACHyper, Flat] = field(default_factory=SACHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "SAC-discrete", "Soft Actor-Critic over the catalogue, learns online only", ACTOR_CRITIC, learns_online=True,
        paper="Christodoulou 2019, arXiv 1910.07207",
        curves={"entropy": "entropy of the policy (nats)", "temperature": "what a nat of entropy is worth"},
        rivals=(
            Rival("random", "final_reward", "Does SAC-discrete learn past random?"),
            Rival("a2c", "final_reward", "Does SAC-discrete end above A2C?"),
            Rival("dqn", "final_reward", "Does SAC-discrete end above DQN?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters."""
        del study
        return (Stage("sac_discrete", SACLearner, self.config, self.hyper, after=(UNTRAINED,)),)
