"""A policy that does not learn, run through the same stream of sessions as those that do."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PRNGKeyArray

from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.policies.actor import Flag, policy_actor
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import AnyActor
from ialp_jax.serving.shares import average


@struct.dataclass
class FrozenState:
    """What changes while a fixed policy serves users, and what it started from."""

    params: tuple[Any, ...]
    serving: Serving


@dataclass(frozen=True)
class FrozenLearner(ServingLearner):
    """Serves users with `policy(params, data, greedy)`, which a subclass gives."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> AnyActor:
        """The policy; `params` are the products that its stage starts from."""
        raise NotImplementedError

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[Any, ...]) -> FrozenState:
        """Opens B sessions; the users that arrive are those a learner with the same key would meet."""
        del hyper
        return FrozenState(start, self.open(key, self.policy(start, data.hidden(), False), data))

    def update(self, run: FrozenState, hyper: Any, data: Data) -> tuple[FrozenState, dict[str, Array]]:
        """Serves `rollout` turns to every user."""
        served = self.serve(run.serving, self.actor(run, hyper, data.hidden()), data)
        metrics = {"reward": average(jnp.mean(served.transitions.reward))}
        return FrozenState(run.params, served.serving), metrics

    def actor(self, run: FrozenState, hyper: Any, data: Data, greedy: Flag = False) -> AnyActor:
        """The policy itself, or its greedy version."""
        del hyper
        return self.policy(run.params, data, greedy)

    def product(self, run: FrozenState) -> Any:
        """What it started from: nothing was learnt."""
        return run.params


@dataclass(frozen=True)
class FrozenNetwork(FrozenLearner):
    """A trained network as an earlier stage left it."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> AnyActor:
        """Samples from the network's distribution, or takes its mode."""
        del data
        return policy_actor(self.scene.network, params[0], greedy)
