"""The on-policy actor-critic behind iALP, A-iALP_ft and A2C from scratch.

What differs between those three is the world it learns in and the parameters it starts from, nothing else. In the table's
world it may have a teacher (`teaching.py`).
"""

from dataclasses import dataclass
from typing import Annotated

import jax
import optax
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.marks import Since
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.asking import asking_actor
from ialp_jax.methods.learners.feedback import (
    NO_FEEDBACK,
    Answered,
    FeedbackConfig,
    FeedbackState,
    answered,
    begin_feedback,
    fit_feedback,
)
from ialp_jax.methods.learners.serving import ServingLearner, learning_key
from ialp_jax.methods.learners.teaching import TeacherName, taught_actor, teacher_of, teaching_weight
from ialp_jax.policies.actor import Decision, Flag, policy_actor
from ialp_jax.serving.rollout import Served, Serving
from ialp_jax.serving.sessions import Actor, AnyActor
from ialp_jax.serving.shares import average
from ialp_jax.values import checked


@struct.dataclass
class ActorCriticState:
    """Everything that changes during a run; resuming from it is bitwise."""

    params: dict
    optimiser: optax.OptState
    serving: Serving
    feedback: FeedbackState | None = None


@dataclass(frozen=True)
@checked
class ActorCriticConfig:
    """What decides the program."""

    taught: bool = False
    """Whether it also imitates preferred items of the table, in whose world alone that is allowed."""
    model: Annotated[FeedbackConfig, Since(NO_FEEDBACK)] = NO_FEEDBACK
    """How its scores are fitted to the feedback."""
    teacher: Annotated[TeacherName, Since("proportional")] = "proportional"
    """Which items it imitates, if it does."""
    asked: Annotated[int, Since(0)] = 0
    """Items that imagined users are asked about in every turn, for the steps on the feedback; only in their worlds."""


@dataclass(frozen=True)
class ActorCriticLearner(ServingLearner):
    """Advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783) with GAE and correct truncation."""

    config: ActorCriticConfig = ActorCriticConfig()

    def __post_init__(self) -> None:
        self.config.model.check(self.scene.network)

    def init(
        self, key: PRNGKeyArray, hyper: ActorCriticHyper, data: Data, start: tuple[dict]
    ) -> ActorCriticState:
        """Opens B sessions; it learns on from the parameters in `start`."""
        del hyper
        (params,) = start
        actor = policy_actor(self.scene.network, params)
        serving = self.open(key, actor, data)
        state = ActorCriticState(params, optimiser().init(params), serving)
        if not self.config.model.feedback_steps:
            return state
        learning = self._learning_actor(params)
        served = jax.eval_shape(lambda: self._answered(self.serve(serving, learning, data)))
        return state.replace(feedback=begin_feedback(learning_key(key), params, served, self.config.model))  # type: ignore[attr-defined, no-any-return]

    def update(
        self, run: ActorCriticState, hyper: ActorCriticHyper, data: Data
    ) -> tuple[ActorCriticState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes one gradient step."""
        network = self.scene.network

        def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array]]]:
            served = self.serve(run.serving, self._learning_actor(params), data)
            now = served.transitions
            value, (metrics, _) = actor_critic_loss(
                params, network, now.recall, now.reached, now, now.extras.statistics, None, hyper,
                self._taught(run, now.extras, hyper),
            )  # fmt: skip
            return value, (served, metrics)

        gradients, (served, metrics) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        feedback = run.feedback
        if feedback is not None:
            params, feedback, metrics["feedback_loss"] = fit_feedback(
                network, params, feedback, self._answered(served), self.config.model, hyper.feedback_rate
            )
        return ActorCriticState(params, state, served.serving, feedback), metrics | told

    def _learning_actor(self, params: dict) -> AnyActor:
        """The policy, which notes what to imitate where it has a teacher, and what users answer where it asks."""
        actor: AnyActor = policy_actor(self.scene.network, params)
        if self.config.taught:
            actor = taught_actor(actor, teacher_of(self.config.teacher, self.scene.simulator))
        return asking_actor(actor, self.config.asked) if self.config.asked else actor

    def _answered(self, served: Served) -> Answered:
        now = served.transitions
        return answered(now, now.recall).replace(asked=now.extras.asked)  # type: ignore[attr-defined, no-any-return]

    def actor(
        self, run: ActorCriticState, hyper: ActorCriticHyper, data: Data, greedy: Flag = False
    ) -> Actor:
        """The policy as it stands."""
        del hyper, data
        return policy_actor(self.scene.network, run.params, greedy)

    def product(self, run: ActorCriticState) -> dict:
        """Its parameters."""
        return run.params

    def _taught(
        self, run: ActorCriticState, decisions: Decision, hyper: ActorCriticHyper
    ) -> tuple[Array, Float[Array, ""]] | None:
        """Items to imitate and the weight of doing so; None without a teacher."""
        if not self.config.taught:
            return None
        assert decisions.taught is not None
        return decisions.taught, teaching_weight(hyper, run.serving.update, self.updates)
