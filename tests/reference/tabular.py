"""M4: a small MDP as arrays, four states (the last absorbs and pays nothing) and three actions, starting in state 0."""

import jax
import jax.numpy as jnp
import numpy as np

DISCOUNT = 0.9
TRANSITIONS = np.array([  # [state, action, next state]
    [[0, 0.8, 0.2, 0], [0, 0.2, 0.8, 0], [0, 0, 0, 1]],
    [[0.5, 0, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]],
    [[0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5], [0, 0, 0, 1]],
    [[0, 0, 0, 1]] * 3,
])  # fmt: skip
REWARDS = np.array([[0, 0.1, 0.5], [1, 0.2, 0.6], [0.3, 0.8, 0.4], [0, 0, 0]])
BEHAVIOUR = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [1 / 3] * 3])
PRIOR = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [1 / 3] * 3])
"""What a table of preferences makes of it as a policy."""


def soft_backup(action_values, prior, weight):
    """What is optimal where r - lambda KL(pi || prior) is paid, of action values that have the later terms in them.

        V = lambda log sum_a prior(a) exp(Q(a) / lambda)          pi(a) = prior(a) exp((Q(a) - V) / lambda)

    the backward step of LINVIT (arXiv 2402.16181). V falls from max Q at lambda = 0 to the prior's mean of Q at infinity.

    Args:
        action_values: Q.
        prior: probabilities over the actions.
        weight: lambda, above 0.

    Returns:
        (V, pi).
    """
    exponents = jnp.log(prior) + action_values / weight
    log_total = jax.nn.logsumexp(exponents, axis=-1)
    return weight * log_total, jnp.exp(exponents - log_total[..., None])
