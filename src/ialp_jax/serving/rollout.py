"""What every algorithm does first in an update: serve all its users for some turns."""

from typing import NamedTuple, Protocol

import jax
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.serving.sessions import (
    Actor,
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


class Serving(Protocol):
    """The part of a run state that serving reads and advances."""

    sessions: Sessions
    ledger: Ledger
    key: PRNGKeyArray
    update: Int[Array, ""]


class Opened(NamedTuple):
    """A stream of sessions before its first turn."""

    sessions: Sessions
    ledger: Ledger
    key: PRNGKeyArray


class Served(NamedTuple):
    """A rollout: the advanced sessions, and what a learner learns from."""

    sessions: Sessions
    ledger: Ledger
    key: PRNGKeyArray
    transitions: Transition


def open_stream(key: PRNGKeyArray, shape: Shape, simulator: Simulator, actor: Actor, world: World) -> Opened:
    """Opens one session for each of the users served at once; equal keys bring the same users."""
    pool_key, key = jax.random.split(key)
    pool = draw_pool(pool_key, shape.users, actor, simulator, world)
    return Opened(open_sessions(pool, simulator, world), empty_ledger(shape.bins), key)


def serve_rollout(run: Serving, shape: Shape, simulator: Simulator, actor: Actor, world: World) -> Served:
    """Serves `rollout` turns to every user; new sessions open with users of a freshly drawn pool."""
    key, pool_key, serve_key = jax.random.split(run.key, 3)
    pool = draw_pool(pool_key, shape.pool, actor, simulator, world)
    clock = shape.clock(simulator.config.turn_cap)
    sessions, ledger, transitions = serve(
        serve_key, run.sessions, once(run.ledger), run.update * shape.rollout, shape.rollout, pool, actor,
        simulator, world, clock,
    )  # fmt: skip
    return Served(sessions, total(ledger), key, transitions)
