"""Learners that serve nobody: gradient steps on logged sessions."""

from dataclasses import dataclass
from typing import Any

import optax
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.methods.base import Data, Scene
from ialp_jax.methods.learners.frozen import FrozenLearner
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Count
from ialp_jax.serving.sessions import Actor
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class OfflineConfig:
    """What decides the program of an offline learner."""

    updates: Count = 2000
    """Gradient steps on logged sessions."""
    batch: Count = 256
    """Logged turns in each of them."""


@struct.dataclass
class OfflineState:
    """Everything that changes: parameters, a copy that lags behind them where the learner has one, and randomness."""

    params: dict
    target: Any
    optimiser: optax.OptState
    key: PRNGKeyArray
    update: Int[Array, ""]


@dataclass(frozen=True)
class OfflineLearner:
    """Base of learners that read logged sessions and serve nobody."""

    scene: Scene
    config: OfflineConfig = OfflineConfig()

    @property
    def updates(self) -> int:
        """Updates of a whole run."""
        return self.config.updates

    @property
    def steps(self) -> int:
        """Nobody is served."""
        return 0

    def batch(self, key: PRNGKeyArray, data: Data) -> Experience:
        """Logged turns, drawn uniformly with replacement."""
        assert data.logged is not None
        return data.logged.sample(key, self.config.batch, self.scene.num_items)

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands, on the window."""
        del hyper, data
        return window_actor(self.scene.network, run.params, greedy)

    def product(self, run: OfflineState) -> Any:
        """Its parameters."""
        return run.params


@dataclass(frozen=True)
class FrozenWindow(FrozenLearner):
    """A network as an earlier stage left it, acting on the window."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """Samples from the network's distribution, or takes its mode."""
        del data
        return window_actor(self.scene.network, params[0], greedy)
