"""Several models of the feedback, each regressed on recorded answers that are weighed anew: where they agree, it is known.

Every member is a ridge regression of the answers on `pair_features`, with weights of the answers drawn from Exp(1), the
Bayesian bootstrap (Rubin 1981, doi 10.1214/aos/1176345338).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.recommenders.calibration import Answers
from ialp_jax.recommenders.fold_in import OfflineFactors
from ialp_jax.recommenders.pair_features import item_features, lift
from ialp_jax.recommenders.regression import Evidence, observed, prior

NOISE = 0.1
"""Variance of the feedback around its prediction."""
VARIANCE = 1.0
"""Variance of every weight beforehand."""


def pair_rows(
    factors: OfflineFactors, taste: Float[Array, "R k"], item: Int[Array, "R"]
) -> Float[Array, "R d"]:
    """phi of R pairs of a taste and an item, d = 2 k + 3."""
    chosen = item_features(factors)[item]
    rows: Float[Array, "R d"] = jax.vmap(lambda one, features: lift(one) @ features)(taste, chosen)
    return rows


def fit_members(key: PRNGKeyArray, factors: OfflineFactors, given: Answers, members: int) -> Evidence:
    """What each of E members knows of its weights, whose mean it predicts by; per answer and in units of the noise."""
    rows = pair_rows(factors, given.taste, given.item)
    before = prior(jnp.zeros(rows.shape[1]), VARIANCE * given.feedback.size / NOISE)

    def of_one(member_key: PRNGKeyArray) -> Evidence:
        root = jnp.sqrt(jax.random.exponential(member_key, given.feedback.shape))
        return before.and_also(observed(rows * root[:, None], given.feedback * root, given.feedback.size))

    known: Evidence = jax.lax.map(of_one, jax.random.split(key, members))
    return known


def member_feedback(
    factors: OfflineFactors,
    weights: Float[Array, "E d"],
    taste: Float[Array, "R k"],
    items: Int[Array, "R Q"],
) -> Float[Array, "E R Q"]:
    """What each member predicts of every row's Q items, within [0, 1]."""
    features = item_features(factors)

    def of_row(one: Float[Array, "k"], chosen: Int[Array, "Q"]) -> Float[Array, "E Q"]:
        return (weights @ lift(one)) @ features[chosen].T

    said = jax.vmap(of_row, out_axes=1)(taste, items)
    return jnp.clip(said, 0.0, 1.0)


def disagreement(said: Float[Array, "E *s"]) -> Float[Array, "*s"]:
    """The largest difference between two members."""
    spread: Float[Array, "*s"] = jnp.max(said, axis=0) - jnp.min(said, axis=0)
    return spread
