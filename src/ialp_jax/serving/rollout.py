"""What every algorithm does first in an update: serve all its users for some turns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.serving.ledger import Ledger, empty_ledger
from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.sessions import AnyActor, Sessions, Transition, draw_pool, open_sessions, serve
from ialp_jax.serving.shares import once, total
from ialp_jax.serving.stream import Stream
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World


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
    key: PRNGKeyArray, stream: Stream, simulator: Simulator, actor: AnyActor, world: World
) -> Serving:
    """Opens one session for each of the users served at once; equal keys bring the same first users and the same pools."""
    pool_key, key = jax.random.split(key)
    pool = draw_pool(pool_key, stream.users, actor, simulator, world)
    return Serving(open_sessions(pool, simulator, world), empty_ledger(stream.bins), key, jnp.int32(0))


def serve_rollout(
    serving: Serving,
    stream: Stream,
    simulator: Simulator,
    actor: AnyActor,
    world: World,
    likeness: Likeness | None = None,
) -> Served:
    """Serves `rollout` turns to every user; new sessions open with users of a freshly drawn pool."""
    key, pool_key, serve_key = jax.random.split(serving.key, 3)
    pool = draw_pool(pool_key, stream.pool, actor, simulator, world)
    clock = stream.clock(simulator.config.turn_cap)
    sessions, ledger, transitions = serve(
        serve_key, serving.sessions, once(serving.ledger), serving.update * stream.rollout, stream.rollout, pool,
        actor, simulator, world, clock, likeness)  # fmt: skip
    return Served(Serving(sessions, total(ledger), key, serving.update + 1), transitions)
