"""What every algorithm does first in an update: serve all its users for some turns."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.serving.sessions import (
    AnyActor,
    Ledger,
    Sessions,
    StreamClock,
    Transition,
    draw_pool,
    empty_ledger,
    open_sessions,
    serve,
)
from ialp_jax.serving.shares import once, total
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World


class Shape(Protocol):
    """Static sizes of serving; `a2c.Config` has them."""

    @property
    def users(self) -> int:
        """Users served at once."""

    @property
    def rollout(self) -> int:
        """Turns per update."""

    @property
    def pool(self) -> int:
        """Users drawn per update."""

    @property
    def bins(self) -> int:
        """Bins of the ledger."""

    def clock(self, turn_cap: int) -> StreamClock:
        """Clock of the ledger."""


@struct.dataclass
class Serving:
    """The part of every run state that serving reads and advances.

    Attributes:
        sessions: of the users served at once.
        ledger: of the sessions that have ended.
        key: what the rest of the run's randomness comes from.
        update: how many rollouts there have been.
    """

    sessions: Sessions
    ledger: Ledger
    key: PRNGKeyArray
    update: Int[Array, ""]


class Served(NamedTuple):
    """A rollout: where it left serving, and what a learner learns from."""

    serving: Serving
    transitions: Transition


def open_stream(
    key: PRNGKeyArray, shape: Shape, simulator: Simulator, actor: AnyActor, world: World
) -> Serving:
    """Opens one session for each of the users served at once; equal keys bring the same users."""
    pool_key, key = jax.random.split(key)
    pool = draw_pool(pool_key, shape.users, actor, simulator, world)
    return Serving(open_sessions(pool, simulator, world), empty_ledger(shape.bins), key, jnp.int32(0))


def serve_rollout(
    serving: Serving, shape: Shape, simulator: Simulator, actor: AnyActor, world: World
) -> Served:
    """Serves `rollout` turns to every user; new sessions open with users of a freshly drawn pool."""
    key, pool_key, serve_key = jax.random.split(serving.key, 3)
    pool = draw_pool(pool_key, shape.pool, actor, simulator, world)
    clock = shape.clock(simulator.config.turn_cap)
    sessions, ledger, transitions = serve(
        serve_key, serving.sessions, once(serving.ledger), serving.update * shape.rollout, shape.rollout, pool,
        actor, simulator, world, clock,
    )  # fmt: skip
    return Served(Serving(sessions, total(ledger), key, serving.update + 1), transitions)
