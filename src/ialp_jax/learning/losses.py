"""Losses of the actor-critics: pure functions of parameters and one rollout."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.learning.returns import Targets, advantage_targets
from ialp_jax.learning.watched import apart, ratio_clipped, value_scale
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics, Matmul, head_statistics
from ialp_jax.policies.catalogue.products import rounded
from ialp_jax.policies.encoders import Recall
from ialp_jax.serving.sessions import Transition
from ialp_jax.serving.shares import deviation, share_count, total


def actor_critic_loss(
    params: dict,
    network: Network,
    recall: Recall,
    reached: Recall,
    transitions: Transition,
    statistics: HeadStatistics,
    behaviour_log_prob: Float[Array, "T B"] | None,
    hyper: GradientHyper,
    taught: tuple[Int[Array, "T B"], Float[Array, ""] | float] | None = None,
    prior: tuple[Float[Array, "T B"], Float[Array, ""] | float] | None = None,
) -> tuple[Float[Array, ""], tuple[dict[str, Float[Array, ""]], Targets]]:
    """Policy gradient with entropy bonus, squared errors of V and Q.

        L = -mean(A log pi(a|s)) / std(A) - eta mean(H(pi)) + c_v mean((V - v)^2) / 2 + c_q mean((Q - q)^2) / 2

    with the targets of `advantage_targets`. Features and the head's statistics are the rollout's own, and gradients
    flow back through its recurrence; the backward pass of the catalogue head runs once for all turns, recomputing
    the logits in blocks.

    With a prior policy p the return is that of r - lambda KL(pi || p) = E_a[r + lambda log p(a|s)] + lambda H(pi(.|s)).
    Of the KL, log p is known at the executed action only, the entropy exactly, so where r stands above stands

        r + lambda log p(a|s) + lambda H(pi(.|s)),

    a constant of the gradient, and lambda mean(H(pi)) / std(A) is added to -L for what the gradient has of the entropy
    itself. V(s) so has the entropy of its own state in it, V = lambda log sum_a p(a|s) exp(Q(s,a) / lambda) at the
    optimum, where Q has not; what the network calls Q(s, a) has it too, so that A = Q - V has mean 0 under the policy.

    Args:
        params: parameters of the learning policy.
        network: batched network functions.
        recall: of the learning policy when it acted [T, B], as functions of `params`.
        reached: of the learning policy after the action, before any reset [T, B].
        transitions: the rollout.
        statistics: the head's, at the executed actions under `params` [T, B].
        behaviour_log_prob: log-probability of each action under the policy that acted; None means on-policy.
        hyper: weights.
        taught: an item a teacher prefers in each state (-1 for none), and the weight c_s of the supervised term
            -c_s mean(log pi(item|s)); None for no such term.
        prior: log p(a|s) of the executed actions, and lambda; None for the plain return.

    Returns:
        (loss, (metrics, targets)).

    Raises:
        AssertionError: when traced with arrays whose leading axes are not those of `transitions`.
    """
    shape = _check_shapes(transitions, (
        recall.features, reached.features, transitions, statistics, behaviour_log_prob, taught and taught[0],
        prior and prior[0],
    ))  # fmt: skip
    rows, next_rows, flat, known = jax.tree.map(
        lambda leaf: leaf.reshape(shape[0] * shape[1], *leaf.shape[2:]),
        (recall.features, reached.features, transitions, statistics),
    )
    items, bias = network.catalogue(params)
    query, plan = network.query(params, rows), network.loss_plan(shape[0] * shape[1])
    log_prob, entropy = head_statistics(plan, query, items, bias, flat.action, flat.limits, known)
    values, action_values = network.critics(params, rows, flat.action)
    ratios = jnp.ones(shape)
    if behaviour_log_prob is not None:
        ratios = jnp.exp(jax.lax.stop_gradient(log_prob).reshape(shape) - behaviour_log_prob)
    next_values = network.value(params, next_rows)
    rewards = transitions.reward
    if prior is not None:
        rewards = rewards + prior[1] * (prior[0] + entropy.reshape(shape))
    frozen = jax.lax.stop_gradient((values.reshape(shape), next_values.reshape(shape)))
    targets = jax.lax.stop_gradient(
        advantage_targets(rewards, *frozen, transitions.terminated, transitions.done, hyper.discount, hyper.trace, ratios,
                          hyper.ratio_clip)
    )  # fmt: skip
    # A scale only: dividing by the spread makes step size and entropy weight independent of the reward's unit.
    spread = deviation(targets.advantages) + 1e-6
    policy_loss = -jnp.mean((targets.advantages / spread).reshape(-1) * log_prob)
    errors = _squared_errors(values, action_values, targets)
    loss = policy_loss - hyper.entropy * jnp.mean(entropy)
    loss = loss + hyper.value_weight * errors[0] + hyper.action_value_weight * errors[1]
    if taught is not None:
        loss = loss - taught[1] * _teaching(taught[0].reshape(-1), flat.action, log_prob, query, items, bias,
                                            plan.matmul)  # fmt: skip
    metrics = _metrics(transitions, entropy, errors, ratios, targets, hyper)
    metrics |= value_scale(network.value(params, apart(rows)), apart(rewards), hyper.discount)
    metrics |= ratio_clipped(log_prob.reshape(shape), behaviour_log_prob, hyper.ratio_clip)
    if prior is not None:
        loss = loss - prior[1] / spread * jnp.mean(entropy)
        metrics["kl"] = -jnp.mean(prior[0] + entropy.reshape(shape))
    return loss, (metrics, targets)


def _check_shapes(transitions: Transition, per_turn: tuple[Any, ...]) -> tuple[int, int]:
    """T and B, which all that belongs to a turn must begin with."""
    chex.assert_rank(transitions.action, 2)
    turns, users = transitions.action.shape
    chex.assert_tree_shape_prefix(per_turn, (turns, users))
    return turns, users


Errors = tuple[Float[Array, ""], Float[Array, ""]]
"""Half the mean squared errors of V and Q."""


def _squared_errors(values: Float[Array, "R"], action_values: Float[Array, "R"], targets: Targets) -> Errors:
    value_loss = 0.5 * jnp.mean((values - targets.values.reshape(-1)) ** 2)
    return value_loss, 0.5 * jnp.mean((action_values - targets.action_values.reshape(-1)) ** 2)


def _metrics(
    transitions: Transition,
    entropy: Float[Array, "R"],
    errors: Errors,
    ratios: Float[Array, "T B"],
    targets: Targets,
    hyper: GradientHyper,
) -> dict[str, Float[Array, ""]]:
    """What is shown of an update."""
    return {
        "reward": jnp.mean(transitions.reward),
        "entropy": jnp.mean(entropy),
        "value_loss": errors[0],
        "action_value_loss": errors[1],
        "ratio": jnp.mean(jnp.minimum(ratios, hyper.ratio_clip)),
        "return_spread": deviation(targets.action_values),
        "departures": jnp.mean(transitions.done.astype(jnp.float32)),
    }


def _teaching(
    taught: Int[Array, "R"],
    actions: Int[Array, "R"],
    log_prob: Float[Array, "R"],
    query: Float[Array, "R e"],
    items: Float[Array, "N e"],
    bias: Float[Array, "N"],
    matmul: Matmul,
) -> Float[Array, ""]:
    """Mean log-probability of the taught items over the rows that have one (-1: none).

    log pi(b) = log pi(a) + logit_b - logit_a, so no second softmax over the catalogue is needed.
    """
    has_teacher = (taught >= 0).astype(jnp.float32)
    # Over all users' rows; by D, because the loss of D devices is the mean of theirs.
    rows = jnp.maximum(total(jnp.sum(has_teacher)), 1.0) / share_count()
    other = jnp.maximum(taught, 0)
    apart = rounded(items[other], matmul) - rounded(items[actions], matmul)
    difference = jnp.sum(rounded(query, matmul) * apart, axis=1) + bias[other] - bias[actions]
    return jnp.sum(has_teacher * (log_prob + difference)) / rows
