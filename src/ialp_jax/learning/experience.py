"""Decisions out of their order, as learners read them that replay or are given logs.

They hold windows, never features: features age with the parameters that made them.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.window import window_after
from ialp_jax.serving.sessions import Transition
from ialp_jax.worlds.types import Limits, Observation


@struct.dataclass
class Experience:
    """Decisions with leading axes [...]; H slots of a window.

    Attributes:
        window: what was acted on.
        limits: what might be recommended.
        action: recommended item.
        reward: rating divided by the world's highest rating.
        feedback: rating scaled to [0, 1], as it enters the history.
        appended: whether the item entered the history.
        terminated: the user left: nothing is bootstrapped.
        log_propensity: log mu(a|s) of the policy that acted; 0 where it is not known.
    """

    window: Observation
    limits: Limits
    action: Int[Array, "*s"]
    reward: Float[Array, "*s"]
    feedback: Float[Array, "*s"]
    appended: Bool[Array, "*s"]
    terminated: Bool[Array, "*s"]
    log_propensity: Float[Array, "*s"]

    def window_after(self) -> Observation:
        """The windows [B, H] that the decisions led to; of rows [B] alone."""
        return window_after(self.window, self.action, self.feedback, self.appended)

    def limits_after(self) -> Limits:
        """What may be recommended afterwards: not the item itself either, where repeats are masked at all.

        What was kept apart for its likeness to earlier items is not known to be so any longer: it is permitted.
        """
        limits = self.limits.none_alike()
        if not limits.excluded.shape[-1]:
            return limits
        return limits.replace(excluded=jnp.concatenate([limits.excluded, self.action[..., None]], axis=-1))  # type: ignore[attr-defined, no-any-return]


def experience_of(transitions: Transition, window: Observation, log_propensity: Array) -> Experience:
    """A rollout [T, B] as experience; `window` is what its actor kept of every decision."""
    now = transitions
    return Experience(
        window, now.limits, now.action, now.reward, now.feedback, now.appended, now.terminated,
        log_propensity,
    )  # fmt: skip


def rows_of(experience: Any) -> Any:
    """[T, B] as rows [T x B]."""
    return jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]), experience)


def joined(first: Experience, second: Experience) -> Experience:
    """Rows of both; of what may not be recommended the wider lists set the width."""
    width, octets = (
        max(getattr(part.limits, name).shape[-1] for part in (first, second))
        for name in ("excluded", "alike")
    )
    padded = [part.replace(limits=_wider(part.limits, width, octets)) for part in (first, second)]  # type: ignore[attr-defined]
    return jax.tree.map(lambda left, right: jnp.concatenate([left, right]), *padded)


def _wider(limits: Limits, width: int, octets: int) -> Limits:
    """Filled with a number beyond every catalogue, which is dropped where it is looked up, and with no bits."""
    beyond = jnp.iinfo(jnp.int32).max
    missing = ((0, 0), (0, width - limits.excluded.shape[-1])), ((0, 0), (0, octets - limits.alike.shape[-1]))
    excluded = jnp.pad(limits.excluded, missing[0], constant_values=beyond)
    return limits.replace(excluded=excluded, alike=jnp.pad(limits.alike, missing[1]))  # type: ignore[attr-defined, no-any-return]
