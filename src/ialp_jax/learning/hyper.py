"""Numbers of a learner: data of its program, so that a sweep may give every run its own."""

from typing import Annotated

from flax import struct

from ialp_jax.marks import OnlyAboveZero, Since
from ialp_jax.ranges import Rate, Share, Weight


@struct.dataclass
class GradientHyper:
    """Numbers of the policy gradient with its critics; each leaf may carry a sweep axis."""

    learning_rate: Rate = 2e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    trace: Share = 0.9
    """lambda of GAE."""
    entropy: Weight = 0.01
    """eta, weight of the policy's entropy."""
    value_weight: Weight = 0.5
    """Weight of the value loss."""
    action_value_weight: Weight = 0.5
    """Weight of the loss of Q."""
    ratio_clip: Rate = 1.0
    """Upper bound of the importance ratio where the behaviour policy is not the one that learns."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class ActorCriticHyper(GradientHyper):
    """Numbers every actor-critic here needs, whose scores may also be fitted to the users' feedback."""

    learning_rate: Rate = 3e-4
    """Step size of Adam on the policy gradient."""
    entropy: Weight = 1e-3
    """eta, weight of the policy's entropy."""
    feedback_rate: Annotated[Rate, OnlyAboveZero("feedback_steps"), Since(2e-3)] = 2e-3
    """Step size of Adam in the steps on the feedback."""
