"""Which judgements to buy: two items in one user's state, of the two policies whose returns the rewards disagree most on."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.recommenders.feedback_ensemble import disagreement
from ialp_jax.serving.shares import gather


@struct.dataclass
class Questions:
    """Two items for each of q users: which is better?

    Attributes:
        user: whom it is about, a row of the table.
        first: an item.
        second: another.
        difference: phi of the first less that of the second.
        spread: by how much the rewards disagree on the difference.
    """

    user: Int[Array, "q"]
    first: Int[Array, "q"]
    second: Int[Array, "q"]
    difference: Float[Array, "q d"]
    spread: Float[Array, "q"]


def most_disputed_pair(returns: Float[Array, "J P"]) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """The two of P policies with the largest max over rewards R, R' of |(R - R')(i) - (R - R')(k)|, in return."""
    policies = returns.shape[1]
    spread = disagreement(returns[:, :, None] - returns[:, None, :])
    place = jnp.argmax(jnp.triu(spread, 1)).astype(jnp.int32)
    return place // policies, place % policies


def returns_of(rewards: Float[Array, "J R"], head: Int[Array, "R"], heads: int, turns: int) -> Any:
    """Sums of a rollout's rewards by the policy that served, and how many users each served: (J x P, P)."""
    served = jax.nn.one_hot(head, heads)
    return rewards @ served, jnp.sum(served, axis=0) / turns


def most_disputed(
    theta: Float[Array, "J d"],
    users: Int[Array, "B"],
    first: Int[Array, "B"],
    second: Int[Array, "B"],
    difference: Float[Array, "B d"],
    count: int,
) -> Questions:
    """The `count` users, of those of all devices, on whose two items the rewards theta disagree most; equal items say nothing."""
    spread = jnp.where(first == second, -1.0, disagreement(theta @ difference.T))
    everybody = gather(Questions(users, first, second, difference, spread))
    places = jax.lax.top_k(everybody.spread, count)[1]
    chosen: Questions = jax.tree.map(lambda leaf: leaf[places], everybody)
    return chosen


def judged(
    key: PRNGKeyArray, asked: Questions, table: Float[Array, "U N"], temperature: Float[Array, ""] | float
) -> Float[Array, "q"]:
    """1 for the first item, 0 for the second, by the table's scores of both: the higher one, 1/2 if they are equal.

    With a temperature T above 0 the first is preferred with probability sigmoid((L_first - L_second) / T).
    """
    difference = table[asked.user, asked.first] - table[asked.user, asked.second]
    drawn = jax.random.uniform(key, difference.shape) < jax.nn.sigmoid(
        difference / jnp.maximum(temperature, 1e-6)
    )
    sure = 0.5 * (1.0 + jnp.sign(difference))
    answer: Float[Array, "q"] = jnp.where(temperature > 0.0, drawn.astype(jnp.float32), sure)
    return answer


def affordable(asked: Questions, count: Int[Array, ""], budget: int) -> Bool[Array, "q"]:
    """Which questions are put, best first: of two different items, while the budget lasts."""
    place = jnp.arange(asked.first.shape[0], dtype=jnp.int32)
    return (asked.spread >= 0.0) & (count + place < budget)
