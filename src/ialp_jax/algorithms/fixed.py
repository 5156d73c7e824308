"""Policies that do not learn, run through the same stream of sessions as those that do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.algorithms import a2c
from ialp_jax.envs.sessions import Actor, Ledger, Sessions, draw_pool, empty_ledger, open_sessions, serve
from ialp_jax.envs.simulator import Simulator
from ialp_jax.envs.world import World


@struct.dataclass
class RunState:
    """What changes while a fixed policy serves users."""

    sessions: Sessions
    ledger: Ledger
    key: PRNGKeyArray
    update: Int[Array, ""]


@dataclass(frozen=True)
class Fixed:
    """Serves users with `actor_of(policy, greedy)`; the policy's arrays take the place of `Hyper`."""

    config: a2c.Config
    simulator: Simulator
    actor_of: Callable[[Any, bool], Actor]

    def init(self, key: PRNGKeyArray, policy: Any, world: World) -> RunState:
        """Opens B sessions; splits its key as the learners do, so that the same users arrive."""
        pool_key, key = jax.random.split(key)
        pool = draw_pool(pool_key, self.config.users, self.actor_of(policy, False), self.simulator, world)
        return RunState(open_sessions(pool), empty_ledger(self.config.bins), key, jnp.int32(0))

    def update(self, run: RunState, policy: Any, world: World) -> tuple[RunState, dict[str, Array]]:
        """Serves `rollout` turns to every user."""
        config = self.config
        key, pool_key, serve_key = jax.random.split(run.key, 3)
        actor = self.actor_of(policy, False)
        pool = draw_pool(pool_key, config.pool, actor, self.simulator, world)
        sessions, ledger, transitions = serve(
            serve_key, run.sessions, run.ledger, run.update * config.rollout, config.rollout, pool, actor,
            self.simulator, world, config.clock(self.simulator.config.turn_cap),
        )  # fmt: skip
        return RunState(sessions, ledger, key, run.update + 1), {"reward": jnp.mean(transitions.reward)}

    def actor(self, run: RunState, policy: Any, greedy: bool = False) -> Actor:
        """The policy itself, or its greedy version."""
        del run
        return self.actor_of(policy, greedy)
