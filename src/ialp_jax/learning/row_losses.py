"""What losses over single decisions share: the policy's log-probability at a row's item, Q at it, and a lagging copy."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ialp_jax.learning.experience import Experience
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import head_statistics
from ialp_jax.policies.catalogue.products import rounded
from ialp_jax.serving.shares import share_count, total
from ialp_jax.worlds.types import Observation


def window_features(network: Network, params: dict, window: Observation) -> Float[Array, "R h"]:
    """Features of windows [R, H]."""
    features: Float[Array, "R h"] = network.begin(params, window).features
    return features


def action_statistics(
    network: Network, params: dict, features: Float[Array, "R h"], rows: Experience
) -> tuple[Float[Array, "R"], Float[Array, "R"]]:
    """log pi(a|s) at the rows' items, and the policy's entropy; in blocks of the catalogue."""
    query = network.query(params, features)
    plan = network.loss_plan(query.shape[0])
    return head_statistics(plan, query, *network.catalogue(params), rows.action, rows.limits)


def item_logits(
    network: Network, params: dict, features: Float[Array, "R h"], items: Int[Array, "R Q"]
) -> Float[Array, "R Q"]:
    """The policy's logits of Q items a row, rounded as the catalogue head rounds them."""
    query, (embeddings, bias) = network.query(params, features), network.catalogue(params)
    matmul = network.module.config.matmul
    products = jnp.sum(rounded(query, matmul)[:, None] * rounded(embeddings[items], matmul), axis=2)
    return products + bias[items]


def liked_mean(
    values: Float[Array, "R"], feedback: Float[Array, "R"], liked: Float[Array, ""] | float
) -> Float[Array, ""]:
    """Mean of the values over the rows whose feedback is at least `liked`; 0 where there is none."""
    counted = (feedback >= liked).astype(jnp.float32)
    # Over all devices' rows; by D, because the loss of D devices is the mean of theirs.
    count = jnp.maximum(total(jnp.sum(counted)), 1.0) / share_count()
    return jnp.sum(counted * values) / count


def value_and_action_value(
    network: Network, params: dict, features: Float[Array, "R h"], action: Int[Array, "R"]
) -> tuple[Float[Array, "R"], Float[Array, "R"]]:
    """V(s), and Q(s, a) = V(s) + A(s, a) whose error moves A alone: V has an objective of its own."""
    value, action_value = network.critics(params, features, action)
    return value, action_value - value + jax.lax.stop_gradient(value)


def follow(target: Any, params: Any, rate: Float[Array, ""] | float) -> Any:
    """The lagging copy after one step of Polyak averaging: (1 - rate) target + rate params."""
    return jax.tree.map(lambda old, new: old + rate * (new - old), target, params)
