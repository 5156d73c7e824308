"""Many users at once, one session after the other: auto-reset from a pool."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.serving.blocks import in_blocks, users_at_once
from ialp_jax.serving.ledger import Endings, Ledger, StreamClock, record
from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.shares import PerUser, draw, gather, share_count, user_keys
from ialp_jax.worlds.simulator import Simulator, sample_noise
from ialp_jax.worlds.types import Limits, Noise, Observation, Situation, State, TimeStep
from ialp_jax.worlds.world import World

Recall = Any
Extras = Any


Keys = Callable[[PRNGKeyArray, int], PRNGKeyArray]


def one_key(key: PRNGKeyArray, users: int) -> PRNGKeyArray:
    """The key of a turn, for an actor that draws for all users at once."""
    del users
    return key


class Actor(NamedTuple):
    """How users are served by what a recommender may know, as batched functions.

    begin: observations -> recall of sessions that start. Policies that remember nothing have an empty one.
    advance: (recall, item, feedback, appended) -> recall after one more interaction.
    act: (keys, recall, situation) -> (items, extras kept in the transition).
    keys: (key of a turn, users) -> the keys `act` draws from: the turn's own, or one per user. They are made for all
        turns of a rollout at once, which is cheaper than turn by turn.
    """

    begin: Callable[[Observation], Recall]
    advance: Callable[[Recall, Array, Array, Array], Recall]
    act: Callable[[PRNGKeyArray, Recall, Situation], tuple[Array, Extras]]
    keys: Keys = one_key


class PrivilegedActor(NamedTuple):
    """An actor that is also handed the simulator's state and the users' world.

    Only the oracle is one, and in imagined worlds, which are no secret, the learner with a teacher or with questions: the
    type keeps the truth from all others.

    act: (keys, recall, state, situation, world) -> (items, extras kept in the transition).
    """

    begin: Callable[[Observation], Recall]
    advance: Callable[[Recall, Array, Array, Array], Recall]
    act: Callable[[PRNGKeyArray, Recall, State, Situation, World], tuple[Array, Extras]]
    keys: Keys = one_key


AnyActor = Actor | PrivilegedActor


def recommend(
    actor: AnyActor, keys: PRNGKeyArray, recall: Recall, state: State, situation: Situation, world: World
) -> tuple[Array, Extras]:
    """One item per user and what the actor keeps of the decision; only a privileged actor is shown the truth."""
    if isinstance(actor, PrivilegedActor):
        return actor.act(keys, recall, state, situation, world)
    return actor.act(keys, recall, situation)


def keys_of_turns(actor: AnyActor, key: PRNGKeyArray, turns: int, users: int) -> PRNGKeyArray:
    """The keys of several turns, stacked."""
    return jax.vmap(lambda one: actor.keys(one, users))(jax.random.split(key, turns))


@struct.dataclass
class Sessions(PerUser):
    """B users in mid-session."""

    state: State
    recall: Recall
    reward: Float[Array, "B"]  # raw rewards of the session so far


@struct.dataclass
class Transition:
    """One decision per user and turn, leading axes [T, B] after a scan.

    Attributes:
        recall: what the actor remembered when it acted.
        reached: what it remembered after the action, before another session opened.
        limits: what might be recommended.
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
    limits: Limits
    action: Int[Array, "B"]
    reward: Float[Array, "B"]
    feedback: Float[Array, "B"]
    appended: Bool[Array, "B"]
    terminated: Bool[Array, "B"]
    done: Bool[Array, "B"]
    extras: Extras


@struct.dataclass
class Pool:
    """P users whose sessions may open during one rollout; their histories are encoded once, together."""

    user: Int[Array, "P"]
    recall: Recall


def select(condition: Bool[Array, "B"], chosen: Any, otherwise: Any) -> Any:
    """Row-wise `where` over pytrees whose leaves have a leading axis B."""

    def leaf(left: Array, right: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (left.ndim - 1)), left, right)

    # All that the backward pass needs is the condition, not as many copies as rows are wide.
    return jax.checkpoint(partial(jax.tree.map, leaf), prevent_cse=False)(chosen, otherwise)


def draw_pool(key: PRNGKeyArray, size: int, actor: AnyActor, simulator: Simulator, world: World) -> Pool:
    """Draws the users of a pool uniformly (with replacement) and reads their histories; devices share the work."""
    keys = user_keys(key, size // share_count())
    state, timestep = jax.vmap(simulator.reset, (0, None))(keys, world)
    return gather(Pool(state.user, actor.begin(timestep.observation)))


def open_sessions(pool: Pool, simulator: Simulator, world: World) -> Sessions:
    """Opens one session for every user of the pool."""
    state, _ = jax.vmap(simulator.start, (0, None))(pool.user, world)
    return Sessions(state, pool.recall, jnp.zeros(pool.user.shape))


class Randomness(NamedTuple):
    """All randomness of a rollout of T turns."""

    act: PRNGKeyArray  # [T] or [T, B]: what the actor draws, it draws from these
    step: Noise  # [T, B]
    arrivals: Int[Array, "T B"]  # pool index of the user whose session opens next where one ends


def draw_rollout(key: PRNGKeyArray, turns: int, users: int, pool: int, actor: AnyActor) -> Randomness:
    """Draws a rollout's randomness at once; noise and arrivals are the same for every actor.

    An arrival is the sum of a number drawn for its turn and one drawn for its row: uniform over the pool, whose
    users are themselves drawn at random, for T + B random numbers instead of T x B.
    """
    act_key, step_key, turn_key, row_key = jax.random.split(key, 4)
    by_turn = jax.random.randint(turn_key, (turns, 1), 0, pool)
    by_row = draw(partial(jax.random.randint, minval=0, maxval=pool), row_key, (1, users), axis=1)
    return Randomness(
        act=keys_of_turns(actor, act_key, turns, users),
        step=draw(sample_noise, step_key, (turns, users), axis=1),
        arrivals=(by_turn + by_row) % pool,
    )


class Turn(NamedTuple):
    """What happened in one turn of B users.

    situation: what might be seen and recommended.
    action: what was recommended.
    extras: what the actor kept of the decision.
    state: of the simulator afterwards, before any reset.
    timestep: what the recommendation led to.
    recall: what the actor remembers afterwards.
    """

    situation: Situation
    action: Int[Array, "B"]
    extras: Extras
    state: State
    timestep: TimeStep
    recall: Recall


def take_turn(
    keys: PRNGKeyArray,
    noise: Noise,
    state: State,
    recall: Recall,
    actor: AnyActor,
    simulator: Simulator,
    world: World,
    likeness: Likeness | None = None,
) -> Turn:
    """Recommends one item to each of B users: what rollouts, plays and recordings are made of.

    With `likeness`, nothing is recommended that is too like what was recommended lately.
    """
    situation = jax.vmap(simulator.situation, (0, None))(state, world)
    if likeness is not None:
        situation = likeness.kept_apart(situation, state.turn, state.session_items)
    action, extras = recommend(actor, keys, recall, state, situation, world)
    reached, timestep = jax.vmap(simulator.transition, (0, 0, 0, None))(state, action, noise, world)
    remembered = actor.advance(recall, action, timestep.feedback, timestep.appended)
    return Turn(situation, action, extras, reached, timestep, remembered)


def serve_turn(
    randomness: Randomness,
    sessions: Sessions,
    pool: Pool,
    actor: AnyActor,
    simulator: Simulator,
    world: World,
    likeness: Likeness | None = None,
) -> tuple[Sessions, tuple[Transition, Endings]]:
    """Recommends one item to each of B users and replaces those whose session ended by users of the pool."""
    turn = take_turn(
        randomness.act, randomness.step, sessions.state, sessions.recall, actor, simulator, world, likeness
    )
    timestep = turn.timestep
    reward, done = sessions.reward + timestep.reward, timestep.done
    transition = Transition(
        recall=sessions.recall,
        reached=turn.recall,
        limits=turn.situation.limits,
        action=turn.action,
        reward=timestep.reward / world.rating_high,
        feedback=timestep.feedback,
        appended=timestep.appended,
        terminated=timestep.terminated,
        done=done,
        extras=turn.extras,
    )
    newcomers = jax.tree.map(lambda leaf: leaf[randomness.arrivals], pool)
    following = select(
        done, open_sessions(newcomers, simulator, world), Sessions(turn.state, turn.recall, reward)
    )
    return following, (transition, Endings(done, reward, turn.state.turn))


def serve(
    key: PRNGKeyArray,
    sessions: Sessions,
    ledger: Ledger,
    first_turn: Int[Array, ""],
    turns: int,
    pool: Pool,
    actor: AnyActor,
    simulator: Simulator,
    world: World,
    clock: StreamClock,
    likeness: Likeness | None = None,
) -> tuple[Sessions, Ledger, Transition]:
    """`serve_turn` for several turns; transitions are stacked to [T, B]."""
    users = sessions.reward.shape[0]
    randomness = draw_rollout(key, turns, users, pool.user.shape[0], actor)

    def play(sessions: Sessions, randomness: Randomness) -> tuple[Sessions, tuple[Transition, Endings]]:
        turn = lambda before, now: serve_turn(now, before, pool, actor, simulator, world, likeness)  # noqa: E731
        return jax.lax.scan(turn, sessions, randomness)

    size = users_at_once(users) if randomness.act.ndim == 2 else users
    sessions, (transitions, endings) = in_blocks(play, size, sessions, randomness)
    return sessions, record(ledger, endings, first_turn, clock), transitions
