"""Acting on the window: the last H interactions, read anew in every turn.

A GRU's carried features are functions of the parameters of every turn that made them: stale once stored, and no function of
the window in a session longer than it. Learners that replay decisions, or read logged ones, act on what they can store.
"""

import jax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.policies.actor import Flag, greedy_or, item_distribution
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics
from ialp_jax.policies.memory import append
from ialp_jax.serving.sessions import Actor
from ialp_jax.worlds.types import Observation, Situation


@struct.dataclass
class WindowDecision:
    """What an update needs to know of a decision that was made on a window.

    Attributes:
        window: what was acted on.
        statistics: the catalogue head's, at the recommended item.
    """

    window: Observation
    statistics: HeadStatistics


def window_actor(network: Network, params: dict, greedy: Flag = False) -> Actor:
    """A learnt policy that remembers nothing but what its window shows; `greedy` may be traced."""

    def act(key: PRNGKeyArray, recall: tuple[()], situation: Situation) -> tuple[Array, WindowDecision]:
        del recall
        distribution = item_distribution(
            network, params, network.begin(params, situation.observation), situation
        )
        item = greedy_or(greedy, distribution.mode, distribution.sample(seed=key))
        return item, WindowDecision(situation.observation, distribution.statistics(item))

    return Actor(lambda observation: (), lambda *interaction: (), act)


def window_after(
    window: Observation, item: Int[Array, "B"], feedback: Float[Array, "B"], appended: Bool[Array, "B"]
) -> Observation:
    """The windows after one more interaction each, unchanged where it did not enter the history."""
    return jax.vmap(append)(window, item, feedback, appended)
