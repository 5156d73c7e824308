"""Advantages over a few turns of a session, of another policy than the one that acted."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

RatioUse = Literal["errors", "all_but_last", "all"]
"""What ratios multiply: the later temporal differences, or rewards and the value at the end, as published with that value's
own ratio or without it."""


def short_horizon_gain(
    rewards: Float[Array, "k B"],
    value: Float[Array, "B"],
    next_values: Float[Array, "k B"],
    terminated: Bool[Array, "k B"],
    done: Bool[Array, "k B"],
    ratios: Float[Array, "k B"],
    discount: Float[Array, ""] | float,
    use: RatioUse,
) -> Float[Array, "B"]:
    """A_t of the policy that improves, over at most k turns of its session (SHPI, arXiv 2106.00589).

    With n = k, or fewer turns where the session ends before, rho_j = pi(a_j|s_j) / mu(a_j|s_j) as the caller clips it, and
    V of the policy mu that acted:

        all:           Q_t = sum_{m<n} gamma^m w_m r_{t+m} + gamma^n w_n V(s_{t+n}),     w_m = prod_{j=1..m} rho_{t+j}
        all_but_last:  the same with w_{n-1} in the place of w_n
        errors:        Q_t = r_t + gamma V(s_{t+1}) + sum_{0<m<n} gamma^m w_m (r_{t+m} + gamma V(s_{t+m+1}) - V(s_{t+m}))
        A_t = Q_t - V(s_t)

    Action t has no ratio: it is given. Where the user left V(s_{t+n}) is 0; where the session was cut it is the termination
    bonus. The public code has `all`. The last ratio is not needed: given s_{t+n} its mean is 1. `errors` is ours: the same
    mean as both, as long as no ratio is clipped, but V, which may be far larger than a reward, is multiplied by no ratio,
    and ratios that are clipped to 1 leave the k-turn advantage of mu.

    Args:
        rewards: r_t to r_{t+k-1}; k may be 0, then A = 0.
        value: V(s_t).
        next_values: V of what each of these turns led to, before any reset.
        terminated: the user left in that turn.
        done: the session ended in that turn, either way; what follows is not read.
        ratios: rho_{t+1} to rho_{t+k}, those of the decision after each turn; 1 where there was none.
        discount: gamma in [0, 1].
        use: what the ratios multiply.

    Raises:
        AssertionError: when traced with arrays [k, B] that are not all of one shape.
    """
    of_turns = (rewards, next_values, terminated, done, ratios)
    chex.assert_rank(of_turns, 2)
    chex.assert_equal_shape(of_turns)
    turns = rewards.shape[0]
    ends = done | (jnp.arange(turns) == turns - 1)[:, None]
    weights = ratios if use == "all" else jnp.where(ends, jnp.ones_like(ratios), ratios)
    following = jnp.where(terminated, jnp.zeros_like(next_values), next_values)

    def backwards(later: Array, now: tuple[Array, ...]) -> tuple[Array, None]:
        reward, next_value, end, weight = now
        later = jnp.where(end, next_value, later)
        if use == "errors":
            return reward + discount * (next_value + weight * (later - next_value)), None
        return reward + discount * weight * later, None

    worth, _ = jax.lax.scan(backwards, value, (rewards, following, ends, weights), reverse=True)
    return worth - value
