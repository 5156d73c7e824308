"""A-iALP_ft: iALP's policy, fine-tuned online."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.methods.base import Card, Common, Recipes, Rival, Stage, online_needs
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.actor_critic import ActorCriticConfig, ActorCriticLearner
from ialp_jax.methods.learners.feedback import FeedbackConfig, gradient_alone
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register


@register("a_ialp_ft")
@dataclass(frozen=True)
class FineTuned:
    """A-iALP_ft: iALP, fine-tuned online by the actor-critic that A2C uses from scratch."""

    hyper: Annotated[ActorCriticHyper, Flat] = field(default_factory=ActorCriticHyper)
    """Numbers of online learning."""
    model: Annotated[FeedbackConfig, Flat] = FeedbackConfig()
    """How its scores are fitted to the users' feedback."""

    card: ClassVar[Card] = Card(
        "A-iALP_ft", "iALP, fine-tuned online", PREFERENCES, learns_online=True, default=True, exported=True, paper="arXiv 2501.13816",
        rivals=(
            Rival("a2c", "final_reward", "Does fine-tuning end above A2C?"),
            Rival("a2c", "mean_reward", "Does fine-tuning earn more than A2C overall?"),
            Rival("mf_planner_online", "final_reward", "Does fine-tuning end above the planner that refits online?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("ialp",)
    recipes: ClassVar[Recipes] = gradient_alone()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """iALP's pre-training, then online learning from its parameters."""
        prior = study.method("ialp")
        first, config = prior.pretraining(), ActorCriticConfig(model=self.model)
        return first, Stage(
            "a_ialp_ft",
            ActorCriticLearner,
            config,
            self.hyper,
            online_needs(prior.look),
            (first,),
            sharpness=self.model.own_sharpness,
        )
