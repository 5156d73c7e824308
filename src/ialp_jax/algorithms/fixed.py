"""Policies that do not learn, run through the same stream of sessions as those that do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PRNGKeyArray

from ialp_jax.algorithms import a2c
from ialp_jax.serving.rollout import Serving, open_stream, serve_rollout
from ialp_jax.serving.sessions import AnyActor
from ialp_jax.serving.shares import average
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World


@struct.dataclass
class RunState:
    """What changes while a fixed policy serves users."""

    serving: Serving


@dataclass(frozen=True)
class Fixed:
    """Serves users with `actor_of(policy, greedy)`; the policy's arrays take the place of `Hyper`."""

    config: a2c.Config
    simulator: Simulator
    actor_of: Callable[[Any, a2c.Flag], AnyActor]

    def init(self, key: PRNGKeyArray, policy: Any, world: World) -> RunState:
        """Opens B sessions; the users that arrive are those a learner with the same key would meet."""
        return RunState(open_stream(key, self.config, self.simulator, self.actor_of(policy, False), world))

    def update(self, run: RunState, policy: Any, world: World) -> tuple[RunState, dict[str, Array]]:
        """Serves `rollout` turns to every user."""
        served = serve_rollout(run.serving, self.config, self.simulator, self.actor_of(policy, False), world)
        metrics = {"reward": average(jnp.mean(served.transitions.reward))}
        return RunState(served.serving), metrics

    def actor(self, run: RunState, policy: Any, greedy: a2c.Flag = False) -> AnyActor:
        """The policy itself, or its greedy version."""
        del run
        return self.actor_of(policy, greedy)
