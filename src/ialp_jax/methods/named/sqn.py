"""SQN: next-item prediction with double Q-learning of the logged items beside it; frozen online."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from ialp_jax.methods.base import Card, Common, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.two_heads import (
    CopiesConfig,
    TwoHeadConfig,
    TwoHeadHyper,
    learnt_stage,
    served_stage,
)
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.values import checked


@register("sqn")
@dataclass(frozen=True)
@checked
class SQN:
    """Self-supervised Q-learning on logged sessions (Xin et al. 2020, arXiv 2006.05779), then frozen.

    It is SNQN without negatives, and all that is decided there is decided here: see `snqn`. Its action values never serve;
    they shape the encoder that the policy head reads.
    """

    source: Literal["logs", "recorded"] = "logs"
    """What it learns from: the offline users' own choices, or a stated logging policy's recorded recommendations."""
    config: Annotated[CopiesConfig, Flat] = CopiesConfig()
    """Its gradient steps."""
    hyper: Annotated[TwoHeadHyper, Flat] = field(default_factory=TwoHeadHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "SQN", "next item of the logs, with action values beside it, frozen online", OFFLINE, learns_online=False,
        paper="Xin et al. 2020, arXiv 2006.05779",
        rivals=(Rival("bc", "mean_reward", "Do action values earn more than next-item prediction alone?"),),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then the policy as it is."""
        del study
        config = TwoHeadConfig(self.config.updates, self.config.batch, negatives=0)
        learnt = learnt_stage("SQN offline", config, self.hyper, self.source)
        return learnt, served_stage("sqn", learnt)
