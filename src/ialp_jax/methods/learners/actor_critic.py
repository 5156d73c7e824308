"""The on-policy actor-critic behind iALP, A-iALP_ft and A2C from scratch.

What differs between those three is the world it learns in and the parameters it starts from, nothing else. In the table's
world it may have a teacher (`teaching.py`).
"""

from dataclasses import dataclass

import jax
import optax
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.learners.teaching import taught_actor, teaching_weight
from ialp_jax.policies.actor import Decision, Flag, policy_actor
from ialp_jax.serving.rollout import Served, Serving
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average


@struct.dataclass
class ActorCriticState:
    """Everything that changes during a run; resuming from it is bitwise."""

    params: dict
    optimiser: optax.OptState
    serving: Serving


@dataclass(frozen=True)
class ActorCriticConfig:
    """What decides the program."""

    taught: bool = False
    """Whether it also imitates preferred items of the table, in whose world alone that is allowed."""


@dataclass(frozen=True)
class ActorCriticLearner(ServingLearner):
    """Advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783) with GAE and correct truncation."""

    config: ActorCriticConfig = ActorCriticConfig()

    def init(
        self, key: PRNGKeyArray, hyper: ActorCriticHyper, data: Data, start: tuple[dict]
    ) -> ActorCriticState:
        """Opens B sessions; it learns on from the parameters in `start`."""
        del hyper
        (params,) = start
        serving = self.open(key, policy_actor(self.scene.network, params), data)
        return ActorCriticState(params, optimiser().init(params), serving)

    def update(
        self, run: ActorCriticState, hyper: ActorCriticHyper, data: Data
    ) -> tuple[ActorCriticState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes one gradient step."""
        network = self.scene.network

        def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array]]]:
            actor = policy_actor(network, params)
            served = self.serve(run.serving, taught_actor(actor) if self.config.taught else actor, data)
            now = served.transitions
            value, (metrics, _) = actor_critic_loss(
                params, network, now.recall, now.reached, now, now.extras.statistics, None, hyper,
                self._taught(run, now.extras, hyper),
            )  # fmt: skip
            return value, (served, metrics)

        gradients, (served, metrics) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        params, state = gradient_step(run.params, run.optimiser, gradients, hyper)
        return ActorCriticState(params, state, served.serving), metrics

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
