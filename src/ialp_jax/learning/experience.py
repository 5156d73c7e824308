"""Decisions out of their order, as learners read them that replay or are given logs.

They hold windows, never features: features age with the parameters that made them.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ialp_jax.policies.window import window_after
from ialp_jax.serving.sessions import Transition
from ialp_jax.worlds.types import Observation


@struct.dataclass
class Experience:
    """Decisions with leading axes [...]; H slots of a window, E of what may not be recommended, K of what alone may.

    Attributes:
        window: what was acted on.
        excluded: items that might not be recommended.
        allowed: the only items that might be, if it has columns.
        action: recommended item.
        reward: rating divided by the world's highest rating.
        feedback: rating scaled to [0, 1], as it enters the history.
        appended: whether the item entered the history.
        terminated: the user left: nothing is bootstrapped.
        log_propensity: log mu(a|s) of the policy that acted; 0 where it is not known.
    """

    window: Observation
    excluded: Int[Array, "*s E"]
    allowed: Int[Array, "*s K"]
    action: Int[Array, "*s"]
    reward: Float[Array, "*s"]
    feedback: Float[Array, "*s"]
    appended: Bool[Array, "*s"]
    terminated: Bool[Array, "*s"]
    log_propensity: Float[Array, "*s"]

    def window_after(self) -> Observation:
        """The windows [B, H] that the decisions led to; of rows [B] alone."""
        return window_after(self.window, self.action, self.feedback, self.appended)

    def excluded_after(self) -> Int[Array, "B E+1"]:
        """What may not be recommended afterwards: the same, and the item itself where repeats are masked at all."""
        if not self.excluded.shape[-1]:
            return self.excluded
        return jnp.concatenate([self.excluded, self.action[..., None]], axis=-1)


def experience_of(transitions: Transition, window: Observation, log_propensity: Array) -> Experience:
    """A rollout [T, B] as experience; `window` is what its actor kept of every decision."""
    now = transitions
    return Experience(
        window, now.excluded, now.allowed, now.action, now.reward, now.feedback, now.appended, now.terminated,
        log_propensity,
    )  # fmt: skip


def rows_of(experience: Experience) -> Experience:
    """[T, B] as rows [T x B]."""
    return jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]), experience)


def joined(first: Experience, second: Experience) -> Experience:
    """Rows of both; of what may not be recommended the wider list sets the width."""
    width = max(first.excluded.shape[-1], second.excluded.shape[-1])
    padded = [part.replace(excluded=_wider(part.excluded, width)) for part in (first, second)]  # type: ignore[attr-defined]
    return jax.tree.map(lambda left, right: jnp.concatenate([left, right]), *padded)


def _wider(excluded: Int[Array, "B E"], width: int) -> Int[Array, "B W"]:
    """Filled with a number beyond every catalogue, which is dropped where it is looked up."""
    return jnp.pad(
        excluded, ((0, 0), (0, width - excluded.shape[-1])), constant_values=jnp.iinfo(jnp.int32).max
    )
