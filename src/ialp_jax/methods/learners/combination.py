"""A frozen pre-trained policy combined with a policy learnt online: what both readings of A-iALP_ap share.

The paper's formula is not available to us; two readings are built, the mixture (`named/a_ialp_ap_mixture.py`) and the value
choice (`named/a_ialp_ap_value.py`). The executed item comes from the combination, so the online policy learns off-policy,
by the clipped ratio pi_on / pi~.
"""

from typing import Any

import jax
import optax
from flax import struct
from jaxtyping import Array, Float

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step
from ialp_jax.learning.returns import Targets
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.policies.actor_critic import Network, Recall
from ialp_jax.policies.catalogue import HeadStatistics
from ialp_jax.serving.rollout import Served
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average


@struct.dataclass
class PairRecall:
    """What both policies remember of a session."""

    pretrained: Recall
    online: Recall


@struct.dataclass
class Choice:
    """What the update needs to know of how an item was chosen; everything is of the executed item.

    Attributes:
        behaviour: log-probability under the combination.
        pretrained: log-probability under the pre-trained policy.
        online: the online policy's catalogue head.
    """

    behaviour: Float[Array, "B"]
    pretrained: Float[Array, "B"]
    online: HeadStatistics


def pair_actor(network: Network, pretrained: dict, online: dict, act: Any) -> Actor:
    """An actor that remembers every session with both policies; `act` as in `Actor`."""

    def begin(observation):  # type: ignore[no-untyped-def]
        return PairRecall(network.begin(pretrained, observation), network.begin(online, observation))

    def advance(recall, item, feedback, appended):  # type: ignore[no-untyped-def]
        return PairRecall(
            network.advance(pretrained, recall.pretrained, item, feedback, appended),
            network.advance(online, recall.online, item, feedback, appended),
        )

    return Actor(begin, advance, act)


def off_policy_step(
    learner: ServingLearner, run: Any, hyper: ActorCriticHyper, data: Data
) -> tuple[dict, optax.OptState, Served, dict[str, Array], Targets]:
    """Serves a rollout with `learner.actor`, then takes one step on the online policy, `run.params`.

    Returns:
        (parameters, optimiser state, rollout, metrics, targets).
    """

    def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array], Targets]]:
        actor = learner.actor(run.replace(params=params), hyper, data.hidden())  # type: ignore[attr-defined]
        served = learner.serve(run.serving, actor, data)
        now = served.transitions
        value, (metrics, targets) = actor_critic_loss(
            params, learner.scene.network, now.recall.online, now.reached.online, now, now.extras.online,
            now.extras.behaviour, hyper,
        )  # fmt: skip
        return value, (served, metrics, targets)

    gradients, (served, metrics, targets) = jax.grad(loss, has_aux=True)(run.params)
    gradients, metrics = average((gradients, metrics))
    params, optimiser = gradient_step(run.params, run.optimiser, gradients, hyper)
    return params, optimiser, served, metrics, targets
