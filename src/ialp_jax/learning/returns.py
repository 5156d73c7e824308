"""Return and advantage estimators: pure functions on time-major [T, B] arrays."""

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float


@struct.dataclass
class Targets:
    """What actor and critics learn from.

    Attributes:
        advantages: for the policy gradient; weighted by the importance ratio.
        gains: q_t - V(s_t), the advantages without that weight: for what acts as the behaviour did.
        values: targets of V(s_t).
        action_values: targets of Q(s_t, a_t).
    """

    advantages: Float[Array, "T B"]
    gains: Float[Array, "T B"]
    values: Float[Array, "T B"]
    action_values: Float[Array, "T B"]


def advantage_targets(
    rewards: Float[Array, "T B"],
    values: Float[Array, "T B"],
    next_values: Float[Array, "T B"],
    terminated: Bool[Array, "T B"],
    done: Bool[Array, "T B"],
    discount: Float[Array, ""] | float,
    trace: Float[Array, ""] | float,
    ratios: Float[Array, "T B"],
    ratio_clip: Float[Array, ""] | float,
) -> Targets:
    """GAE(lambda), and V-trace where the behaviour policy differs from the one that learns.

    With rho_t = min(c, ratio_t), c_t = min(1, ratio_t), delta_t = r_t + gamma (1 - terminated_t) V(s'_t) - V(s_t):

        X_t = rho_t delta_t + gamma lambda c_t (1 - done_t) X_{t+1}          value target:  V(s_t) + X_t
        q_t = r_t + gamma (1 - terminated_t) V(s'_t) + gamma lambda (1 - done_t) X_{t+1}   Q target
        A_t = rho_t (q_t - V(s_t))                                          advantage

    For ratios of 1, A_t = X_t is generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16);
    for lambda = 1, X_t and A_t are V-trace's (Espeholt et al. 2018, arXiv 1802.01561, eq. 1 and section 4.2).

    Truncation is not termination: s'_t is the final observation of the session, whose value is bootstrapped unless
    the user left; the trace is cut at both.

    Args:
        rewards: r_t.
        values: V(s_t).
        next_values: V of the observation after the action, before any reset.
        terminated: the user left.
        done: the session ended, either way.
        discount: gamma in [0, 1].
        trace: lambda in [0, 1].
        ratios: pi(a_t|s_t) / behaviour(a_t|s_t); ones when on-policy.
        ratio_clip: c, upper bound of the ratio in delta.

    Raises:
        AssertionError: when traced with arrays that are not all of one shape [T, B].
    """
    of_turns = (rewards, values, next_values, terminated, done, ratios)
    chex.assert_rank(of_turns, 2)
    chex.assert_equal_shape(of_turns)
    weight = jnp.minimum(ratios, ratio_clip)
    goes_on = jnp.where(done, 0.0, 1.0)
    one_step = rewards + discount * jnp.where(terminated, 0.0, next_values)
    decay = discount * trace * goes_on

    def backwards(later: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        error, keep = now
        correction = error + keep * later
        return correction, (correction, later)

    errors = (weight * (one_step - values), decay * jnp.minimum(ratios, 1.0))
    _, (corrections, later) = jax.lax.scan(backwards, jnp.zeros_like(values[0]), errors, reverse=True)
    action_values = one_step + decay * later
    gains = action_values - values
    return Targets(weight * gains, gains, values + corrections, action_values)
