"""The value of a policy that does not move, on the sessions of its own: a head on features that stay the policy's."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PRNGKeyArray

from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.returns import advantage_targets
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.actor_critic import ActorCriticState
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.policies.actor import Flag, policy_actor
from ialp_jax.ranges import Rate, Share
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average


@struct.dataclass
class PolicyValueHyper:
    """Numbers of the fit."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class ValueRate:
    """What methods choose of it for itself alone."""

    value_rate: Rate = 1e-3
    """Step size of Adam on the reference's value."""


@dataclass(frozen=True)
class PolicyValueLearner(ServingLearner):
    """V by squared error on what the policy's sessions paid until they or the rollout ended, and on V itself afterwards."""

    def init(
        self, key: PRNGKeyArray, hyper: PolicyValueHyper, data: Data, start: tuple[dict]
    ) -> ActorCriticState:
        """Opens B sessions of the policy in `start`."""
        del hyper
        (params,) = start
        serving = self.open(key, policy_actor(self.scene.network, params), data)
        return ActorCriticState(params, optimiser().init(params), serving)

    def update(
        self, run: ActorCriticState, hyper: PolicyValueHyper, data: Data
    ) -> tuple[ActorCriticState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes one gradient step of V alone: nothing else has a gradient."""
        network = self.scene.network
        served = self.serve(run.serving, policy_actor(network, run.params), data)
        now = served.transitions
        features, reached = (one.features.reshape(now.action.size, -1) for one in (now.recall, now.reached))
        value, next_value = (
            network.value(run.params, one).reshape(now.action.shape) for one in (features, reached)
        )
        targets = advantage_targets(now.reward, value, next_value, now.terminated, now.done, hyper.discount, 1.0,
                                    jnp.ones_like(value), 1.0)  # fmt: skip

        def loss(params: dict) -> tuple[Array, dict[str, Array]]:
            values = network.value(params, features)
            error = 0.5 * jnp.mean((values - targets.values.reshape(-1)) ** 2)
            return error, {"value_loss": error, "value": jnp.mean(values), "reward": jnp.mean(now.reward)}

        gradients, metrics = average(jax.grad(loss, has_aux=True)(run.params))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return ActorCriticState(params, state, served.serving), metrics | told

    def actor(
        self, run: ActorCriticState, hyper: PolicyValueHyper, data: Data, greedy: Flag = False
    ) -> Actor:
        """The policy, which does not move."""
        del hyper, data
        return policy_actor(self.scene.network, run.params, greedy)

    def product(self, run: ActorCriticState) -> dict:
        """The policy's parameters with its value."""
        return run.params
