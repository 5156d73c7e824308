"""Features of a user and an item for linear models, without an array of users x items x features.

phi(t, a) = (t * x_a, x_a, <t, x_a>, popularity_a, 1) is linear in z_a = (x_a, popularity_a, 1): phi(t, a) = M(t) z_a.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ialp_jax.recommenders.fold_in import OfflineFactors
from ialp_jax.recommenders.regression import Evidence


def item_features(factors: OfflineFactors) -> Float[Array, "N k+2"]:
    """z_a of every item."""
    ones = jnp.ones_like(factors.popular)
    return jnp.concatenate([factors.item, factors.popular[:, None], ones[:, None]], axis=1)


def lift(taste: Float[Array, "k"]) -> Float[Array, "2*k+3 k+2"]:
    """M(t) of one user."""
    rank = taste.shape[0]
    of_factors = jnp.concatenate([jnp.diag(taste), jnp.eye(rank), taste[None]])
    return (
        jnp.zeros((2 * rank + 3, rank + 2))
        .at[: 2 * rank + 1, :rank]
        .set(of_factors)
        .at[2 * rank + 1 :, rank:]
        .set(jnp.eye(2))
    )


def optimistic_scores(
    evidence: Evidence,
    taste: Float[Array, "k"],
    items: Float[Array, "N k+2"],
    optimism: Float[Array, ""] | float,
) -> Float[Array, "N"]:
    """<w, phi> + optimism sqrt(phi' V phi) with w ~ N(w, V) for all items and one user (LinUCB, Li et al. 2010)."""
    lifted = lift(taste)
    spread = lifted.T @ evidence.covariance @ lifted
    variance = jnp.maximum(jnp.sum(items @ spread * items, axis=1), 0.0)
    return items @ (lifted.T @ evidence.mean) + optimism * jnp.sqrt(variance)
