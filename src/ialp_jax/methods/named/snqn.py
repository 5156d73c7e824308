"""SNQN: next-item prediction with double Q-learning beside it, at logged items and at sampled negatives; frozen online."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from ialp_jax.methods.base import Card, Common, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.two_heads import TwoHeadConfig, TwoHeadHyper, learnt_stage, served_stage
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.ranges import Count
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class SNQNConfig(TwoHeadConfig):
    """What decides its program."""

    negatives: Count = 10
    """Items beside the logged one, in every row, whose Q learns that they pay nothing; none would be SQN."""


@register("snqn")
@dataclass(frozen=True)
@checked
class SNQN:
    """Supervised negative Q-learning on logged sessions, then frozen.

    As published: two copies of encoder and heads, one of which learns in every step by a coin; negatives drawn uniformly, whose
    target is that of the state they are shown in; gamma .5. Decided here: negatives are drawn among what might be recommended;
    the item that a target looks at is too; Q has a V beside its items; only what was liked is imitated, as `bc` does it, since
    logs here have dislikes, which a log of clicks has not; a session that a log or the turn cap cut is bootstrapped; one copy
    serves, and gets about as many steps as `bc`. The step size is `bc`'s, so that a comparison is of the action values: the
    published .005 earned a tenth less in the synthetic world (3.4 a session to 3.9), with action values or without.
    """

    source: Literal["logs", "recorded"] = "logs"
    """What it learns from: the offline users' own choices, or a stated logging policy's recorded recommendations."""
    config: Annotated[SNQNConfig, Flat] = SNQNConfig()
    """Its gradient steps."""
    hyper: Annotated[TwoHeadHyper, Flat] = field(default_factory=TwoHeadHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "SNQN", "next item of the logs, with action values and negatives beside it, frozen online", OFFLINE, learns_online=False,
        paper="Xin et al. 2022, arXiv 2111.03474",
        rivals=(
            Rival("bc", "mean_reward", "Do action values earn more than next-item prediction alone?"),
            Rival("sqn", "mean_reward", "Do negatives earn more than SQN?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def learning(self) -> Stage:
        """Gradient steps on the logs."""
        return learnt_stage("SNQN offline", self.config, self.hyper, self.source)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then the policy as it is."""
        del study
        learnt = self.learning()
        return learnt, served_stage("snqn", learnt)
