"""Whole sessions as a learner may read them later: what was seen, done, paid and left, with exact propensities."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.serving.sessions import Actor, keys_of_turns, select, take_turn
from ialp_jax.worlds.simulator import Simulator, sample_noise
from ialp_jax.worlds.types import Observation
from ialp_jax.worlds.world import World


@struct.dataclass
class RecordedSessions:
    """S sessions side by side, L is the turn cap; what follows a session's end is undefined.

    Attributes:
        window: what the history showed in every turn.
        action: what was recommended.
        reward: rating divided by the world's highest rating.
        feedback: rating scaled to [0, 1].
        appended: whether the item entered the history.
        log_propensity: log mu(a|s), as the actor kept it.
        length: turns of a session.
        terminated: whether the user left; else the turn cap cut the session.
    """

    window: Observation
    action: Int[Array, "S L"]
    reward: Float[Array, "S L"]
    feedback: Float[Array, "S L"]
    appended: Bool[Array, "S L"]
    log_propensity: Float[Array, "S L"]
    length: Int[Array, "S"]
    terminated: Bool[Array, "S"]


def record_sessions(
    key: PRNGKeyArray, actor: Actor, simulator: Simulator, world: World, sessions: int
) -> RecordedSessions:
    """Plays `sessions` sessions of users drawn from `world.session_users`; the actor's extras are log-propensities."""
    reset_key, act_key, step_key = jax.random.split(key, 3)
    opened, timestep = jax.vmap(simulator.reset, in_axes=(0, None))(
        jax.random.split(reset_key, sessions), world
    )
    turns = simulator.config.turn_cap

    def turn(carry, drawn):  # type: ignore[no-untyped-def]
        state, over, left, recall = carry
        keys, noise = drawn
        now = take_turn(keys, noise, state, recall, actor, simulator, world)
        step = now.timestep
        row = (now.situation.observation, now.action, step.reward / world.rating_high, step.feedback, step.appended,
               now.extras, ~over)  # fmt: skip
        ended = (now.state, over | step.done, left | step.terminated, now.recall)
        return select(over, carry, ended), row

    nobody = jnp.zeros(sessions, bool)
    carry = (opened, nobody, nobody, actor.begin(timestep.observation))
    drawn = (keys_of_turns(actor, act_key, turns, sessions), sample_noise(step_key, (turns, sessions)))
    (_, _, left, _), rows = jax.lax.scan(turn, carry, drawn)
    window, action, reward, feedback, appended, log_propensity, live = jax.tree.map(
        lambda leaf: jnp.swapaxes(leaf, 0, 1), rows
    )
    length = jnp.sum(live, axis=1, dtype=jnp.int32)
    return RecordedSessions(window, action, reward, feedback, appended, log_propensity, length, left)
