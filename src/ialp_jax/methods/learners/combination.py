"""A frozen pre-trained policy combined with a policy learnt online: what both readings of A-iALP_ap share.

The paper's formula is not available to us; two readings are built, the mixture (`named/a_ialp_ap_mixture.py`) and the value
choice (`named/a_ialp_ap_value.py`). The executed item comes from the combination, so the online policy learns off-policy,
by the clipped ratio pi_on / pi~. Policy Expansion itself (`named/pex.py`) shares the choice by value with the second.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step
from ialp_jax.learning.returns import Targets
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.feedback import (
    Answered,
    FeedbackConfig,
    FeedbackState,
    answered,
    begin_feedback,
    fit_feedback,
)
from ialp_jax.methods.learners.serving import ServingLearner, learning_key
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics
from ialp_jax.policies.encoders import Recall
from ialp_jax.serving.rollout import Served, Serving
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average, draw


@struct.dataclass
class PairRecall:
    """What both policies remember of a session.

    Attributes:
        evidence: how much better the pre-trained policy's scores have predicted the session's feedback so far: squared
            errors of the online policy's minus its own, summed over turns; None where nobody asks.
    """

    pretrained: Recall
    online: Recall
    evidence: Float[Array, "B"] | None = None


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


def pair_actor(
    network: Network, pretrained: dict, online: dict, act: Any, weighs_evidence: bool = False
) -> Actor:
    """An actor that remembers every session with both policies; `act` as in `Actor`."""

    def begin(observation):  # type: ignore[no-untyped-def]
        evidence = jnp.zeros(observation.items.shape[0]) if weighs_evidence else None
        return PairRecall(
            network.begin(pretrained, observation), network.begin(online, observation), evidence
        )

    def advance(recall, item, feedback, appended):  # type: ignore[no-untyped-def]
        evidence = recall.evidence
        if evidence is not None:
            evidence = evidence + error_difference(network, pretrained, online, recall, item, feedback)
        return PairRecall(
            network.advance(pretrained, recall.pretrained, item, feedback, appended),
            network.advance(online, recall.online, item, feedback, appended),
            evidence,
        )

    return Actor(begin, advance, act)


def error_difference(
    network: Network, pretrained: dict, online: dict, recall: PairRecall, item: Array, feedback: Array
) -> Float[Array, "B"]:
    """(g_on - y)^2 - (g_pre - y)^2 of the predicted feedback: above 0 where the pre-trained scores knew better."""
    by_pretrained = network.feedback(pretrained, recall.pretrained.features, item[:, None])[:, 0]
    by_online = network.feedback(online, recall.online.features, item[:, None])[:, 0]
    difference: Float[Array, "B"] = (by_online - feedback) ** 2 - (by_pretrained - feedback) ** 2
    return jax.lax.stop_gradient(difference)


def chosen_by_value(
    key: PRNGKeyArray,
    offers: tuple[Int[Array, "B"], Int[Array, "B"]],
    scores: tuple[Float[Array, "B"], Float[Array, "B"]],
    greedy: Flag,
) -> tuple[Int[Array, "B"], Float[Array, "B"]]:
    """One of two offers each, and the probability of the first: softmax of their scores (arXiv 2302.00935).

    Where greedy, the one of the higher score, and the second of equals.
    """
    preference = jax.nn.sigmoid(scores[0] - scores[1])
    level = jnp.where(greedy, 0.5, draw(jax.random.uniform, key, preference.shape))
    return jnp.where(level < preference, *offers), preference


class Stepped(NamedTuple):
    """What an update of the online policy led to."""

    params: dict
    optimiser: optax.OptState
    feedback: FeedbackState | None
    served: Served
    metrics: dict[str, Array]
    targets: Targets


def begin_pair_feedback(
    learner: ServingLearner,
    key: PRNGKeyArray,
    params: dict,
    serving: Serving,
    actor: Actor,
    data: Data,
    config: FeedbackConfig,
) -> FeedbackState | None:
    """Nothing kept yet; None where no steps are taken on the feedback."""
    if not config.feedback_steps:
        return None
    served = jax.eval_shape(lambda: _answered(learner.serve(serving, actor, data)))
    return begin_feedback(learning_key(key), params, served, config)


def _answered(served: Served) -> Answered:
    return answered(served.transitions, served.transitions.recall.online)


def off_policy_step(
    learner: ServingLearner, run: Any, hyper: ActorCriticHyper, data: Data, config: FeedbackConfig
) -> Stepped:
    """Serves a rollout with `learner.actor`, then steps on the online policy, `run.params`: one along the policy
    gradient, and those that `config` asks for on the feedback."""

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
    params, optimiser, told = gradient_step(run.params, run.optimiser, gradients, hyper)
    feedback = run.feedback
    if feedback is not None:
        params, feedback, metrics["feedback_loss"] = fit_feedback(
            learner.scene.network, params, feedback, _answered(served), config, hyper.feedback_rate
        )
    return Stepped(params, optimiser, feedback, served, metrics | told, targets)
