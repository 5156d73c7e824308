"""Plays whole sessions with a fixed policy: one scan to the turn cap, finished sessions are masked."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.envs.simulator import Simulator
from ialp_jax.envs.world import World
from ialp_jax.policies.fixed import FixedPolicy


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
    key: PRNGKeyArray, simulator: Simulator, policy: FixedPolicy, world: World, sessions: int
) -> PlayedSessions:
    """Plays sessions of users drawn from `world.session_users`. Pure; `simulator`, `sessions` are static."""
    reset_key, turns_key = jax.random.split(key)
    states, timesteps = jax.vmap(simulator.reset, in_axes=(0, None))(
        jax.random.split(reset_key, sessions), world
    )

    def one(key, state, timestep):
        act_key, step_key = jax.random.split(key)
        item = policy.act(act_key, state, timestep, world)
        following = simulator.step(step_key, state, item, world)
        frozen = jax.tree.map(
            lambda old, new: jnp.where(timestep.done, old, new), (state, timestep), following
        )
        live = ~timestep.done
        paid = jnp.where(live, following[1].reward, 0.0)
        return frozen, (jnp.where(live, item, world.num_items), paid, live)

    def turn(carry, key):
        return jax.vmap(one)(jax.random.split(key, sessions), *carry)

    keys = jax.random.split(turns_key, simulator.config.turn_cap)
    (states, timesteps), (items, rewards, live) = jax.lax.scan(turn, (states, timesteps), keys)
    return PlayedSessions(
        users=states.user,
        items=items.T,
        rewards=rewards.T,
        length=jnp.sum(live, axis=0, dtype=jnp.int32),
        total=jnp.sum(rewards, axis=0),
        reason=timesteps.reason,
    )
