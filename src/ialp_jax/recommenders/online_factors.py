"""A factorisation that goes on learning from what users answer: tastes within a session, items over all sessions.

Feedback is predicted by <w_a, (t, 1)>, where t is a user's taste (`fold_in.tastes`) and w_a belongs to the item. Both sides
are ridge regressions: t has the history's normal equations and the session's answers; w_a has a prior from the offline logs and
every answer the item ever got.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ialp_jax.policies.memory import Memory
from ialp_jax.recommenders.calibration import Answers, with_one
from ialp_jax.recommenders.fold_in import OfflineFactors, history_equations, rows_or_zero
from ialp_jax.recommenders.regression import Evidence, solve


def session_tastes(
    factors: OfflineFactors,
    weights: Float[Array, "N k+1"],
    memory: Memory,
    answer_weight: Float[Array, ""] | float,
) -> Float[Array, "B k"]:
    """Tastes of B users in mid-session.

    Args:
        factors: of the offline logs.
        weights: of the items.
        memory: of the sessions.
        answer_weight: of one answer of the session beside an observed pair of the logs.
    """

    def one_user(memory: Memory) -> Float[Array, "k"]:
        gram, pull = history_equations(factors, memory.known)
        answered = rows_or_zero(weights, memory.items)
        slopes = answered.at[:, -1].set(0.0)  # 0 for the bias, which the answers do not concern
        present = (memory.items < weights.shape[0]).astype(jnp.float32)
        targets = present * (memory.feedback - answered[:, -1] + slopes @ factors.centre)
        user = solve(gram + answer_weight * slopes.T @ slopes, pull + answer_weight * targets @ slopes)
        return (user - factors.centre)[:-1]

    return jax.vmap(one_user)(memory)


def item_prior(
    weights: Float[Array, "N k+1"], users: Float[Array, "R k+1"], strength: Float[Array, ""] | float
) -> Evidence:
    """Evidence for every item's weights as strong as so many answers of users like these, all as predicted."""
    moment = users.T @ users / users.shape[0] + 1e-4 * jnp.eye(users.shape[1])
    precision = jnp.broadcast_to(strength * moment, (weights.shape[0], *moment.shape))
    return Evidence(precision, strength * weights @ moment)


def item_evidence(given: Answers, num_items: int) -> Evidence:
    """What answers say of every item's weights."""
    users = with_one(given.taste)
    width = users.shape[1]
    products = users[:, :, None] * users[:, None, :]
    precision = jnp.zeros((num_items, width, width)).at[given.item].add(products)
    return Evidence(precision, _sums(given.item, given.feedback[:, None] * users, num_items))


def _sums(items: Int[Array, "R"], rows: Float[Array, "R w"], num_items: int) -> Float[Array, "N w"]:
    return jnp.zeros((num_items, rows.shape[1])).at[items].add(rows)
