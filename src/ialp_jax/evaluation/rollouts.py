"""Whole sessions with a policy that does not change: one scan to the turn cap, finished sessions are masked."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.envs.sessions import Actor, select
from ialp_jax.envs.simulator import Simulator
from ialp_jax.envs.world import World


@struct.dataclass
class PlayedSessions:
    """S sessions side by side, L is the turn cap.

    Attributes:
        users: whose session it was.
        items: what was recommended; padding item N after the end.
        rewards: what each recommendation paid, raw scale; 0 after the end.
        length: number of recommendations.
        total: sum of the rewards.
        reason: why the session ended, an index into `departure.REASONS`.
    """

    users: Int[Array, "S"]
    items: Int[Array, "S L"]
    rewards: Float[Array, "S L"]
    length: Int[Array, "S"]
    total: Float[Array, "S"]
    reason: Int[Array, "S"]


def play(
    key: PRNGKeyArray, actor: Actor, simulator: Simulator, world: World, sessions: int
) -> PlayedSessions:
    """Plays `sessions` sessions of users drawn from `world.session_users`.

    Users and their noise depend on the key alone, so equal keys give every policy the same users.
    """
    reset_key, act_key, step_key = jax.random.split(key, 3)
    state, timestep = jax.vmap(simulator.reset, in_axes=(0, None))(
        jax.random.split(reset_key, sessions), world
    )
    recall = actor.begin(timestep.observation)

    def turn(carry, keys):  # type: ignore[no-untyped-def]
        state, timestep, recall = carry
        item, _ = actor.act(keys[0], recall, state, timestep, world)
        step_keys = jax.random.split(keys[1], sessions)
        following, outcome = jax.vmap(simulator.step, (0, 0, 0, None))(step_keys, state, item, world)
        remembered = actor.advance(recall, item, outcome.feedback, outcome.appended)
        over = timestep.done
        paid = jnp.where(over, 0.0, outcome.reward)
        kept = select(over, carry, (following, outcome, remembered))
        return kept, (jnp.where(over, world.num_items, item), paid, ~over)

    turns = simulator.config.turn_cap
    keys = (jax.random.split(act_key, turns), jax.random.split(step_key, turns))
    (state, timestep, _), (items, rewards, live) = jax.lax.scan(turn, (state, timestep, recall), keys)
    return PlayedSessions(
        users=state.user,
        items=items.T,
        rewards=rewards.T,
        length=jnp.sum(live, axis=0, dtype=jnp.int32),
        total=jnp.sum(rewards, axis=0),
        reason=timestep.reason,
    )
