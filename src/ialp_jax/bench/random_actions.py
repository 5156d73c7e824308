"""Random recommendations at the price of the exclusion list, whatever the size of the catalogue."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from ialp_jax.envs.sessions import Actor


def random_actor(num_items: int) -> Actor:
    """Recommends uniformly among the permitted items; remembers nothing."""

    def act(key: PRNGKeyArray, recall, state, timestep, world):  # type: ignore[no-untyped-def]
        del recall, state, world
        return permitted_items(key, timestep.excluded, num_items), ()

    return Actor(lambda observation: (), lambda *interaction: (), act)


def permitted_items(key: PRNGKeyArray, excluded: Int[Array, "B E"], num_items: int) -> Int[Array, "B"]:
    """A permitted item per row, uniformly: drawn again where it is excluded, so no mask of the catalogue is made.

    Args:
        key: randomness.
        excluded: ids that must not be drawn; ids of N or more are no items.
        num_items: N, more than E, so that something is always permitted.

    Raises:
        ValueError: if everything might be excluded.
    """
    rows, most = excluded.shape
    if num_items <= most:
        raise ValueError(f"{most} exclusions may leave nothing of {num_items} items")

    def draw(carry: tuple[PRNGKeyArray, Array, Array]) -> tuple[PRNGKeyArray, Array, Bool[Array, "B"]]:
        key, items, again = carry
        following, now = jax.random.split(key)
        # The remainder's bias, below N / 2^32, buys half the random numbers of `randint`.
        drawn = (jax.random.bits(now, (rows,), jnp.uint32) % jnp.uint32(num_items)).astype(jnp.int32)
        items = jnp.where(again, drawn, items)
        return following, items, jnp.any(excluded == items[:, None], axis=1)

    first = (key, jnp.zeros(rows, jnp.int32), jnp.ones(rows, bool))
    return jax.lax.while_loop(lambda carry: jnp.any(carry[2]), draw, first)[1]
