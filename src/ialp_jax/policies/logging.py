"""The policy that logged: popularity with a floor, so that every permitted item has a known chance."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import user_keys
from ialp_jax.worlds.types import Situation

LARGEST_WEIGHT = 1e30  # of an infinite one, or of one whose sum over the catalogue is, no share can be taken


def logging_actor(
    popularity: Float[Array, "N"], exponent: Float[Array, ""] | float, floor: Float[Array, ""] | float
) -> Actor:
    """mu(a|s) = (1 - floor) p(a) / sum of p over the permitted + floor / number of the permitted; keeps its logarithm.

    Args:
        popularity: interactions of each item.
        exponent: p is (1 + popularity) to this power: 0 is uniform.
        floor: share of recommendations that are uniform, in [0, 1].
    """
    weights = jnp.minimum((1.0 + popularity) ** exponent, LARGEST_WEIGHT)

    def act_one(key: PRNGKeyArray, situation: Situation) -> tuple[Array, Array]:
        permitted = situation.action_mask(popularity.shape[0])
        popular = jnp.where(permitted, weights, 0.0)
        uniform = permitted.astype(jnp.float32)
        chances = (1.0 - floor) * popular / jnp.sum(popular) + floor * uniform / jnp.sum(uniform)
        logits = jnp.where(permitted, jnp.log(chances), -jnp.inf)
        item = jax.random.categorical(key, logits).astype(jnp.int32)
        return item, logits[item]

    def act(keys, recall, situation):  # type: ignore[no-untyped-def]
        del recall
        return jax.vmap(act_one)(keys, situation)

    return Actor(lambda observation: (), lambda *interaction: (), act, user_keys)
