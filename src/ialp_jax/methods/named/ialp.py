"""iALP: pre-trained on imagined users, of the preference table, the logs or both, then frozen."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from ialp_jax.marks import ByEvidence, OnlyAboveZero, Since
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Recipes, Rival, Stage, online_needs
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.actor_critic import ActorCriticConfig, ActorCriticLearner
from ialp_jax.methods.learners.feedback import FeedbackConfig, gradient_alone
from ialp_jax.methods.learners.frozen import FrozenNetwork
from ialp_jax.methods.learners.teaching import TaughtHyper, TeacherName
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.ranges import at_least
from ialp_jax.values import checked


def _pretraining_hyper() -> TaughtHyper:
    return TaughtHyper(entropy=0.0, feedback_rate=1.5e-4)


# While nothing is decided, auto asks for all that either decision may read.
WORLDS = {
    "auto": Need.MIXED_WORLD,
    "table": Need.TABLE_WORLD,
    "logs": Need.LOGS_WORLD,
    "mixed": Need.MIXED_WORLD,
}


@register("ialp")
@dataclass(frozen=True)
@checked
class IALP:
    """iALP: pre-trained on imagined users, frozen online."""

    hyper: Annotated[TaughtHyper, Flat] = field(default_factory=_pretraining_hyper)
    """Numbers of pre-training."""
    model: Annotated[FeedbackConfig, Flat] = FeedbackConfig(feedback_steps=16)
    """How its scores are fitted to the feedback of imagined users."""
    asked: Annotated[int, at_least(0), OnlyAboveZero("feedback_steps"), Since(0)] = 16
    """Items drawn at random that imagined users are asked about in every turn, for the steps on the feedback."""
    world: Annotated[
        Literal["auto", "table", "logs", "mixed"],
        Since("table"),
        ByEvidence("start", logs="mixed", texts="table"),
    ] = "auto"
    """Whose users it is pre-trained on: the preference table's, those whom the offline logs suggest, or the table's with
    rewards from both. auto decides for both or the table by recorded sessions of offline users."""
    teacher: Annotated[TeacherName, OnlyAboveZero("supervised"), Since("proportional")] = "proportional"
    """Which items the supervised term shows: drawn in proportion to their reward, or the best one that keeps the user."""
    look: Annotated[bool, Since(False)] = True
    """Whether what is too like the last recommended items is not recommended, in pre-training and afterwards."""

    card: ClassVar[Card] = Card(
        "iALP, frozen", "pre-trained on imagined users, not adapted", PREFERENCES, learns_online=False, reference=True,
        default=True, paper="arXiv 2501.13816",
        rivals=(
            Rival("mf_planner", "initial_reward", "Does pre-training pay against a planner on the logs?", "Pre-training"),
            Rival("a2c", "initial_reward", "Does pre-training help at the start?"),
            Rival("table_greedy", "mean_reward", "Does RL on the table beat the table alone?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()
    recipes: ClassVar[Recipes] = gradient_alone(
        look=False, world="table", learning_rate=1e-3, entropy=0.05, feedback_rate=2e-3, asked=0
    )

    def pretraining(self) -> Stage:
        """Learning in the table's world. Other methods start from this very stage: it is trained once."""
        asked = self.asked if self.model.feedback_steps else 0
        config = ActorCriticConfig(self.hyper.supervised > 0.0, self.model, self.teacher, asked)
        needs = frozenset({WORLDS[self.world]}) | (online_needs(self.look) - {Need.USERS})
        return Stage("iALP pre-training", ActorCriticLearner, config, self.hyper, needs,
                     (UNTRAINED,), budget=Budget.PRETRAIN, sharpness=self.model.own_sharpness)  # fmt: skip

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Pre-training, then the policy as it is."""
        del study
        first = self.pretraining()
        return first, Stage(
            "ialp",
            FrozenNetwork,
            needs=online_needs(self.look),
            after=(first,),
            budget=Budget.MEASURE,
            sharpness=first.sharpness,
        )
