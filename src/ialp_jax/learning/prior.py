"""Returns regularised towards a policy that is given: its log-probabilities, and what is optimal under it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.catalogue import MASKED


def prior_log_prob(
    scores: Float[Array, "N"],
    permitted: Bool[Array, "N"],
    item: Int[Array, ""],
    temperature: Float[Array, ""] | float,
    floor: Float[Array, ""] | float,
) -> Float[Array, ""]:
    """log pi_L(item) of the policy that scores stand for, of one user; callers `vmap`.

        pi_L(a) = (1 - floor) softmax(scores / temperature)(a) + floor / n     over the n permitted items

    Args:
        scores: of every item.
        permitted: which items may be recommended; at least one.
        item: a permitted one.
        temperature: above 0; the lower, the more its best items stand out.
        floor: in (0, 1], the share that is spread evenly: no permitted item is ruled out.
    """
    log_probs = jax.nn.log_softmax(jnp.where(permitted, scores / temperature, MASKED))
    even = -jnp.log(jnp.sum(permitted, dtype=jnp.float32))
    return jnp.logaddexp(jnp.log1p(-floor) + log_probs[item], jnp.log(floor) + even)


def soft_backup(
    action_values: Float[Array, "*s A"], prior: Float[Array, "*s A"], weight: Float[Array, ""] | float
) -> tuple[Float[Array, "*s"], Float[Array, "*s A"]]:
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
