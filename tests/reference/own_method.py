"""The file of a user's own method, as text."""

OWN_METHOD = '''\
"""A method of a user: A2C whose step size is called rate."""

from dataclasses import dataclass
from typing import ClassVar

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.methods import register
from ialp_jax.methods.base import UNTRAINED, Card, Stage
from ialp_jax.methods.learners.actor_critic import ActorCriticConfig, ActorCriticLearner


@register("mine")
@dataclass(frozen=True)
class Mine:
    """A2C whose step size is called rate."""

    rate: float = 0.01
    """Step size."""

    card: ClassVar[Card] = Card("mine", "a user's own", "mine", learns_online=True)

    def stages(self, study):
        hyper = ActorCriticHyper(learning_rate=self.rate)
        return (Stage("mine", ActorCriticLearner, ActorCriticConfig(), hyper, after=(UNTRAINED,)),)
'''
