"""A policy whose scores are also a model of the feedback: beside the policy gradient they regress on what users answered.

The policy is softmax(kappa g(s, .)) with g(s, a) = <q(s), e_a> + b_a, and g is fitted to feedback by least squares

    L = mean (g(s, a) - y)^2 / 2

on decisions drawn from all that are kept. A reward per session says little of the single items; a feedback says what its
item was worth, so these steps need far fewer users than the policy gradient, which adds what they cannot know: the way
sessions end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError, Value
from ialp_jax.learning.optimiser import adam_step, optimiser
from ialp_jax.learning.replay import Replay, empty_replay
from ialp_jax.marks import OnlyAboveZero, Since
from ialp_jax.policies.actor import Asked
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.encoders import ENCODERS, Recall
from ialp_jax.ranges import Count, Rate, at_least
from ialp_jax.serving.sessions import Transition
from ialp_jax.serving.shares import average, share_count
from ialp_jax.values import checked


@dataclass(frozen=True, kw_only=True)
@checked
class FeedbackConfig:
    """How the feedback is fitted; needs an encoder that rereads, as session does: its sessions can be read anew."""

    feedback_steps: Annotated[int, at_least(0), Since(0)] = 8
    """Steps on the users' feedback after every rollout; 0 for none."""
    feedback_rows: Annotated[Count, OnlyAboveZero("feedback_steps"), Since(8)] = 8
    """Kept decisions of every user that is served, drawn for each of those steps."""
    kept_decisions: Annotated[Count, OnlyAboveZero("feedback_steps"), Since(65_536)] = 65_536
    """The latest decisions that are kept for it, of all users together; at least one rollout of each."""
    sharpness: Annotated[Rate, OnlyAboveZero("feedback_steps"), Since(80.0)] = 80.0
    """Logits are this times the predicted feedback."""

    @property
    def own_sharpness(self) -> float | None:
        """Of the policy, where its scores are fitted to the feedback; None for the network's."""
        return self.sharpness if self.feedback_steps else None

    def check(self, network: Network) -> None:
        """Refuses steps on the feedback with an encoder whose earlier decisions cannot be read anew.

        Raises:
            InputError: naming the field.
        """
        if self.feedback_steps and not network.rereads:
            able = " or ".join(name for name, encoder in ENCODERS.items() if encoder.rereads)
            raise InputError(f"steps on the feedback read earlier sessions anew, which {network.module.config.encoder} cannot",
                             column="policy.encoder", fix=f"use {able}, or 0 as feedback_steps")  # fmt: skip


NO_FEEDBACK = FeedbackConfig(feedback_steps=0)
"""The policy gradient alone."""


def gradient_alone(**more: Value) -> Mapping[str, Mapping[str, Value]]:
    """The recipe of an actor-critic whose scores are not fitted to the feedback; `more` are its other options."""
    return {"policy gradient": {"feedback_steps": 0, "learning_rate": 2e-3, "entropy": 0.01} | more}


@struct.dataclass
class Answered:
    """Decisions and what users answered, leading axes [...]; `carried` is what the encoder carried of the sessions.

    Imagined users are also `asked` about other items.
    """

    carried: Any
    action: Int[Array, "*s"]
    feedback: Float[Array, "*s"]
    asked: Asked | None = None


@struct.dataclass
class FeedbackState:
    """What is kept of earlier decisions, and the optimiser of the steps on them."""

    replay: Replay
    optimiser: optax.OptState
    key: PRNGKeyArray


def answered(transitions: Transition, recall: Recall) -> Answered:
    """A rollout [T, B]; `recall` is that of the policy that learns."""
    return Answered(recall.carried, transitions.action, transitions.feedback)


def begin_feedback(key: PRNGKeyArray, params: dict, rollout: Any, config: FeedbackConfig) -> FeedbackState:
    """Nothing kept yet; `rollout` has the shapes of `answered`, [T, B]."""
    turns, users = rollout.action.shape
    kept = max(turns, config.kept_decisions // (users * share_count()))
    return FeedbackState(empty_replay(rollout, kept), optimiser().init(params), key)


def feedback_loss(network: Network, params: dict, rows: Answered) -> Float[Array, ""]:
    """Half the mean squared error of the predicted feedback, of rows [R]; and that of what was asked besides."""
    features = network.reread(params, rows.carried).features
    items, answers = rows.action[:, None], rows.feedback[:, None]
    if rows.asked is not None:
        items = jnp.concatenate([items, rows.asked.item], axis=1)
        answers = jnp.concatenate([answers, rows.asked.feedback], axis=1)
    errors = (network.feedback(params, features, items) - answers) ** 2
    loss = 0.5 * jnp.mean(errors[:, 0])
    return loss if rows.asked is None else loss + 0.5 * jnp.mean(errors[:, 1:])


def fit_feedback(
    network: Network,
    params: dict,
    state: FeedbackState,
    latest: Answered,
    config: FeedbackConfig,
    learning_rate: Float[Array, ""] | float,
) -> tuple[dict, FeedbackState, Float[Array, ""]]:
    """Keeps a rollout, then takes steps on what is kept.

    Returns:
        (parameters, state, mean loss of the steps).
    """
    replay = state.replay.add(latest)
    key, steps_key = jax.random.split(state.key)
    slope: Callable[..., Any] = jax.value_and_grad(lambda params, rows: feedback_loss(network, params, rows))

    def step(
        parts: tuple[dict, optax.OptState], step_key: PRNGKeyArray
    ) -> tuple[tuple[dict, optax.OptState], Array]:
        rows = replay.sample(step_key, config.feedback_rows)
        loss, gradients = average(slope(parts[0], rows))
        return adam_step(*parts, gradients, learning_rate), loss

    keys = jax.random.split(steps_key, config.feedback_steps)
    (params, moments), losses = jax.lax.scan(step, (params, state.optimiser), keys)
    return params, FeedbackState(replay, moments, key), jnp.mean(losses)
