"""What every learner that serves users has: its scene, its config, and the sizes of its stream."""

from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from ialp_jax.methods.base import Data, Scene
from ialp_jax.serving.rollout import Served, Serving, open_stream, serve_rollout
from ialp_jax.serving.sessions import AnyActor


def learning_key(key: PRNGKeyArray) -> PRNGKeyArray:
    """Randomness of a run's gradient steps, apart from that of its users, who must be the same for every learner."""
    return jax.random.fold_in(key, 1)


@dataclass(frozen=True)
class ServingLearner:
    """Base of learners that serve users for a rollout in every update."""

    scene: Scene
    config: Any = ()

    @property
    def updates(self) -> int:
        """Updates of a whole run."""
        return self.scene.stream.updates

    @property
    def steps(self) -> int:
        """Simulator steps of one update."""
        return self.scene.stream.users * self.scene.stream.rollout

    def open(self, key: PRNGKeyArray, actor: AnyActor, data: Data) -> Serving:
        """Opens one session for each user; equal keys bring the same first users, and later pools, to every learner."""
        return open_stream(key, self.scene.stream, self.scene.simulator, actor, data.users_world)

    def serve(self, serving: Serving, actor: AnyActor, data: Data) -> Served:
        """Serves a rollout's turns to every user."""
        return serve_rollout(
            serving, self.scene.stream, self.scene.simulator, actor, data.users_world, data.likeness
        )
