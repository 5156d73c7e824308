"""Imagined users can be asked: beside what is recommended to them, what they would answer to items drawn at random.

Fitted to answers to its own recommendations alone, a frozen policy meets strangers with scores that nobody ever corrected
where it never looked. In a world made of a table and of logs the answers are known beforehand; in the users' world nobody
may ask.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.policies.actor import Asked
from ialp_jax.serving.sessions import AnyActor, PrivilegedActor, recommend
from ialp_jax.serving.shares import user_keys
from ialp_jax.worlds.types import State
from ialp_jax.worlds.world import World


def asking_actor(actor: AnyActor, count: int) -> PrivilegedActor:
    """The same recommendations; it notes what `count` other items would have been worth.

    They are drawn uniformly from the catalogue, with replacement; where only some items may be recommended to a user,
    because a table has judged no others, from those.
    """

    def act(key, recall, state, situation, world):  # type: ignore[no-untyped-def]
        act_key, ask_key = jax.random.split(key)
        item, decision = recommend(actor, act_key, recall, state, situation, world)
        keys = user_keys(ask_key, item.shape[0])
        asked = jax.vmap(partial(ask, count), (0, 0, None))(keys, state, world)
        return item, decision.replace(asked=asked)

    return PrivilegedActor(actor.begin, actor.advance, act)


def ask(count: int, key: PRNGKeyArray, state: State, world: World) -> Asked:
    """What one imagined user would answer to `count` items, without the noise of an answer."""
    items = _draw(count, key, world.allowed_items[state.user], world.num_items)
    ratings = jax.vmap(world.ratings.of, (None, 0))(state.user, items)
    return Asked(items, world.feedback(ratings))


def _draw(count: int, key: PRNGKeyArray, allowed: Int[Array, "K"], num_items: int) -> Int[Array, "Q"]:
    if not allowed.shape[0]:
        return jax.random.randint(key, (count,), 0, num_items, jnp.int32)
    listed = jnp.sum(allowed < num_items, dtype=jnp.int32)  # they come first, then padding
    return allowed[jax.random.randint(key, (count,), 0, listed, jnp.int32)]
