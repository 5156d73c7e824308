"""The head's statistics and their gradients by every way that there is to them."""

from functools import partial

import jax
import jax.numpy as jnp

from ialp_jax.policies.catalogue import catalogue_distribution, head_statistics

WAYS = ("learner", "learner, known from the rollout", "distribution")


def statistics(way, plan, factors, actions, lists):
    """(log_prob, entropy) by one of the ways to get them."""
    head = partial(catalogue_distribution, plan, *factors, *lists)
    if way == "distribution":
        return head().log_prob(actions), head().entropy()
    known = jax.lax.stop_gradient(head().statistics(actions)) if "known" in way else None
    return head_statistics(plan, *factors, actions, *lists, known)


@partial(jax.jit, static_argnums=(0, 1))
def value_and_gradients(way, plan, inputs, actions, d_log_prob, d_entropy):
    """((log_prob, entropy), gradients with respect to query, items, bias)."""

    def objective(*factors):
        found = statistics(way, plan, factors, actions, inputs[3:])
        return jnp.sum(d_log_prob * found[0] + d_entropy * found[1]), found

    (_, found), gradients = jax.value_and_grad(objective, argnums=(0, 1, 2), has_aux=True)(*inputs[:3])
    return found, gradients
