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
