"""Advantage actor-critic from scratch: learns online only."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.marks import Since
from ialp_jax.methods.base import UNTRAINED, Card, Common, Recipes, Rival, Stage, online_needs
from ialp_jax.methods.families import ACTOR_CRITIC
from ialp_jax.methods.learners.actor_critic import ActorCriticConfig, ActorCriticLearner
from ialp_jax.methods.learners.feedback import FeedbackConfig, gradient_alone
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register


@register("a2c")
@dataclass(frozen=True)
class A2C:
    """Advantage actor-critic from scratch."""

    hyper: Annotated[ActorCriticHyper, Flat] = field(default_factory=ActorCriticHyper)
    """Numbers of the learner."""
    model: Annotated[FeedbackConfig, Flat] = FeedbackConfig()
    """How its scores are fitted to the feedback."""
    look: Annotated[bool, Since(False)] = True
    """Whether what is too like the last recommended items is not recommended."""

    card: ClassVar[Card] = Card(
        "A2C from scratch", "learns online only", ACTOR_CRITIC, learns_online=True, reference=True, default=True, exported=True,
        paper="Mnih et al. 2016, arXiv 1602.01783",
        rivals=(
            Rival("random", "final_reward", "Does A2C learn past random?"),
            Rival("popular", "final_reward", "Does A2C learn past popularity?"),
            Rival("mf_planner_online", "final_reward", "Does A2C end above the planner that refits online?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()
    recipes: ClassVar[Recipes] = gradient_alone(look=False)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Online learning from untrained parameters."""
        del study
        return (
            Stage(
                "a2c",
                ActorCriticLearner,
                ActorCriticConfig(model=self.model),
                self.hyper,
                online_needs(self.look),
                (UNTRAINED,),
                sharpness=self.model.own_sharpness,
            ),
        )
