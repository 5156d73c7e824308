"""Many users at once, one session after the other: auto-reset from a pool, and the ledger of finished sessions."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.envs.shares import draw, gather, share_count, user_keys
from ialp_jax.envs.simulator import Simulator, sample_noise
from ialp_jax.envs.types import Noise, Observation, State, TimeStep
from ialp_jax.envs.world import World

Recall = Any
Extras = Any


class Actor(NamedTuple):
    """How users are served, as batched functions. Fixed policies have an empty recall.

    begin: observations -> recall of sessions that start.
    advance: (recall, item, feedback, appended) -> recall after one more interaction.
    act: (key, recall, state, timestep, world) -> (items, extras kept in the transition).
    """

    begin: Callable[[Observation], Recall]
    advance: Callable[[Recall, Array, Array, Array], Recall]
    act: Callable[[PRNGKeyArray, Recall, State, TimeStep, World], tuple[Array, Extras]]


@struct.dataclass
class Ledger:
    """Sums over finished sessions by the bin in which they started. K bins of equal length in online steps.

    Sessions that start so late that one of full length would not finish within the budget are left out: otherwise
    the last bins would hold only the short ones.
    """

    sessions: Float[Array, "K"]
    reward: Float[Array, "K"]
    length: Float[Array, "K"]


@struct.dataclass
class Sessions:
    """B users in mid-session."""

    state: State
    timestep: TimeStep
    recall: Recall
    started: Int[Array, "B"]  # turn counter of the stream at which the session started
    reward: Float[Array, "B"]  # raw rewards of the session so far


@struct.dataclass
class Transition:
    """One decision per user and turn, leading axes [T, B] after a scan.

    Attributes:
        recall: what the actor remembered when it acted.
        reached: what it remembered after the action, before another session opened.
        excluded: items that must not be recommended.
        allowed: the only items that may be, if it has columns.
        action: recommended item.
        reward: rating divided by the world's highest rating.
        feedback: rating scaled to [0, 1], as it enters the history.
        appended: whether the item entered the history.
        terminated: the user left.
        done: the session ended, either way.
        extras: what the actor kept.
    """

    recall: Recall
    reached: Recall
    excluded: Int[Array, "B E"]
    allowed: Int[Array, "B K"]
    action: Int[Array, "B"]
    reward: Float[Array, "B"]
    feedback: Float[Array, "B"]
    appended: Bool[Array, "B"]
    terminated: Bool[Array, "B"]
    done: Bool[Array, "B"]
    extras: Extras


@struct.dataclass
class Pool:
    """Users whose sessions may open during one rollout; their histories are encoded once, together."""

    state: State
    timestep: TimeStep
    recall: Recall


def select(condition: Bool[Array, "B"], chosen: Any, otherwise: Any) -> Any:
    """Row-wise `where` over pytrees whose leaves have a leading axis B."""

    def leaf(left: Array, right: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (left.ndim - 1)), left, right)

    return jax.tree.map(leaf, chosen, otherwise)


def draw_pool(key: PRNGKeyArray, size: int, actor: Actor, simulator: Simulator, world: World) -> Pool:
    """Draws the users of a pool uniformly (with replacement) and reads their histories; devices share the work."""
    keys = user_keys(key, size // share_count())
    state, timestep = jax.vmap(simulator.reset, (0, None))(keys, world)
    return gather(Pool(state, timestep, actor.begin(timestep.observation)))


def open_sessions(pool: Pool) -> Sessions:
    """Opens one session for every user of the pool."""
    size = pool.state.user.shape[0]
    return Sessions(pool.state, pool.timestep, pool.recall, jnp.zeros(size, jnp.int32), jnp.zeros(size))


def empty_ledger(bins: int) -> Ledger:
    """A ledger without sessions."""
    zeros = jnp.zeros(bins)
    return Ledger(zeros, zeros, zeros)


class StreamClock(NamedTuple):
    """Length of the whole stream of turns (per user), for the ledger's bins."""

    turns: int
    bins: int
    turn_cap: int

    def bin_of(self, turn: Int[Array, "B"]) -> Int[Array, "B"]:
        """Bin of a start turn; out of range (dropped) if a full session would not fit before the end."""
        late = turn > self.turns - self.turn_cap
        return jnp.where(late, self.bins, (turn * self.bins) // self.turns)


def record(ledger: Ledger, sessions: Sessions, done: Bool[Array, "B"], clock: StreamClock) -> Ledger:
    """Adds the sessions that have just ended."""
    where = jnp.where(done, clock.bin_of(sessions.started), clock.bins)
    lengths = sessions.state.turn.astype(jnp.float32)
    return Ledger(
        sessions=ledger.sessions.at[where].add(1.0, mode="drop"),
        reward=ledger.reward.at[where].add(sessions.reward, mode="drop"),
        length=ledger.length.at[where].add(lengths, mode="drop"),
    )


class TurnNoise(NamedTuple):
    """All randomness of one turn of B users; what the actor draws, it draws from its key."""

    act: PRNGKeyArray
    step: Noise
    reopened: Int[Array, "B"]  # pool index of the user whose session opens next where one ends


def draw_noise(key: PRNGKeyArray, users: int, opening: int) -> TurnNoise:
    """Randomness of one turn; apart from the turn, so that a rollout draws all of its own at once."""
    act_key, step_key, open_key = jax.random.split(key, 3)
    step = jax.vmap(sample_noise)(user_keys(step_key, users))
    reopened = draw(partial(jax.random.randint, minval=0, maxval=opening), open_key, (users,))
    return TurnNoise(act_key, step, reopened)


def serve_turn(
    noise: TurnNoise,
    sessions: Sessions,
    ledger: Ledger,
    turn: Int[Array, ""],
    pool: Pool,
    actor: Actor,
    simulator: Simulator,
    world: World,
    clock: StreamClock,
) -> tuple[Sessions, Ledger, Transition]:
    """Recommends one item to each of B users and replaces those whose session ended by users of the pool."""
    before = sessions.timestep
    action, extras = actor.act(noise.act, sessions.recall, sessions.state, before, world)
    transition_of = jax.vmap(simulator.transition, (0, 0, 0, None))
    state, timestep = transition_of(sessions.state, action, noise.step, world)
    recall = actor.advance(sessions.recall, action, timestep.feedback, timestep.appended)
    transition = Transition(
        recall=sessions.recall,
        reached=recall,
        excluded=before.excluded,
        allowed=before.allowed,
        action=action,
        reward=timestep.reward / world.rating_high,
        feedback=timestep.feedback,
        appended=timestep.appended,
        terminated=timestep.terminated,
        done=timestep.done,
        extras=extras,
    )
    ended = Sessions(state, timestep, recall, sessions.started, sessions.reward + timestep.reward)
    ledger = record(ledger, ended, timestep.done, clock)
    fresh: Pool = jax.tree.map(lambda leaf: leaf[noise.reopened], pool)
    starts = jnp.full_like(sessions.started, turn + 1)
    opened = Sessions(fresh.state, fresh.timestep, fresh.recall, starts, jnp.zeros_like(sessions.reward))
    return select(timestep.done, opened, ended), ledger, transition


def serve(
    key: PRNGKeyArray,
    sessions: Sessions,
    ledger: Ledger,
    first_turn: Int[Array, ""],
    turns: int,
    pool: Pool,
    actor: Actor,
    simulator: Simulator,
    world: World,
    clock: StreamClock,
) -> tuple[Sessions, Ledger, Transition]:
    """`serve_turn` for several turns; transitions are stacked to [T, B]."""

    def one_turn(carry, inputs):  # type: ignore[no-untyped-def]
        noise, turn = inputs
        sessions, ledger, transition = serve_turn(
            noise, carry[0], carry[1], turn, pool, actor, simulator, world, clock
        )
        return (sessions, ledger), transition

    noise = jax.vmap(lambda one: draw_noise(one, sessions.reward.shape[0], pool.state.user.shape[0]))(
        jax.random.split(key, turns)
    )
    inputs = (noise, first_turn + jnp.arange(turns, dtype=jnp.int32))
    (sessions, ledger), transitions = jax.lax.scan(one_turn, (sessions, ledger), inputs)
    return sessions, ledger, transitions
