"""Imagined users can be asked: beside what is recommended to them, what they would answer to items drawn at random.

Fitted to answers to its own recommendations alone, a frozen policy meets strangers with scores that nobody ever corrected
where it never looked. In a world made of a table and of logs the answers are known beforehand; in the users' world nobody
may ask.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ialp_jax.policies.actor import Asked
from ialp_jax.serving.sessions import AnyActor, PrivilegedActor, recommend
from ialp_jax.serving.shares import user_keys
from ialp_jax.worlds.types import State
from ialp_jax.worlds.world import World


def asking_actor(actor: AnyActor, count: int) -> PrivilegedActor:
    """The same recommendations; it notes what `count` items of the catalogue, drawn uniformly, would have been worth."""

    def act(key, recall, state, situation, world):  # type: ignore[no-untyped-def]
        act_key, ask_key = jax.random.split(key)
        item, decision = recommend(actor, act_key, recall, state, situation, world)
        keys = user_keys(ask_key, item.shape[0])
        asked = jax.vmap(partial(_ask, count), (0, 0, None))(keys, state, world)
        return item, decision.replace(asked=asked)

    return PrivilegedActor(actor.begin, actor.advance, act)


def _ask(count: int, key: PRNGKeyArray, state: State, world: World) -> Asked:
    items = jax.random.randint(key, (count,), 0, world.num_items, jnp.int32)
    ratings = jax.vmap(world.ratings.of, (None, 0))(state.user, items)
    return Asked(items, world.feedback(ratings))
