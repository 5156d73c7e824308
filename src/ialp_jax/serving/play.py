"""Whole sessions with a policy that does not change: one scan to the turn cap, finished sessions are masked."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.sessions import AnyActor, keys_of_turns, select, take_turn
from ialp_jax.worlds.simulator import Simulator, sample_noise
from ialp_jax.worlds.world import World


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
    key: PRNGKeyArray,
    actor: AnyActor,
    simulator: Simulator,
    world: World,
    sessions: int,
    likeness: Likeness | None = None,
) -> PlayedSessions:
    """Plays `sessions` sessions of users drawn from `world.session_users`.

    With `likeness`, nothing is recommended that is too like what was recommended lately. Users and their noise depend on the key alone, so equal keys give every policy the same users.
    """
    reset_key, act_key, step_key = jax.random.split(key, 3)
    opened, timestep = jax.vmap(simulator.reset, in_axes=(0, None))(
        jax.random.split(reset_key, sessions), world
    )
    turns = simulator.config.turn_cap

    def turn(carry, drawn):  # type: ignore[no-untyped-def]
        state, reason, recall = carry
        keys, noise = drawn
        now = take_turn(keys, noise, state, recall, actor, simulator, world, likeness)
        over = reason > 0
        paid = jnp.where(over, 0.0, now.timestep.reward)
        kept = select(over, carry, (now.state, now.timestep.reason, now.recall))
        return kept, (jnp.where(over, world.num_items, now.action), paid, ~over)

    carry = (opened, timestep.reason, actor.begin(timestep.observation))
    drawn = (keys_of_turns(actor, act_key, turns, sessions), sample_noise(step_key, (turns, sessions)))
    (state, reason, _), (items, rewards, live) = jax.lax.scan(turn, carry, drawn)
    return PlayedSessions(
        users=state.user,
        items=items.T,
        rewards=rewards.T,
        length=jnp.sum(live, axis=0, dtype=jnp.int32),
        total=jnp.sum(rewards, axis=0),
        reason=reason,
    )
