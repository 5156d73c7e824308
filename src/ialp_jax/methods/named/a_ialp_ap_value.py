"""A-iALP_ap read as a choice by value: each policy proposes an item, and softmax(kappa Q) of the online critic chooses.

As in Policy Expansion (arXiv 2302.00935).
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.optimiser import optimiser
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Recipes, Rival, Stage, online_needs
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.combination import (
    Choice,
    begin_pair_feedback,
    chosen_by_value,
    off_policy_step,
    pair_actor,
)
from ialp_jax.methods.learners.feedback import NO_FEEDBACK, FeedbackConfig, FeedbackState, gradient_alone
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, greedy_or, item_distribution
from ialp_jax.policies.catalogue import ItemDistribution
from ialp_jax.ranges import PositiveShare, Weight
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor
from ialp_jax.values import checked


@struct.dataclass
class ValueHyper(ActorCriticHyper):
    """Numbers of the choice by value, on top of the actor-critic's."""

    ratio_clip: PositiveShare = 1.0
    """Upper bound of the importance ratio. Not above 1: the behaviour's probability is an estimate, from one rival of either
    policy, and where that is far too low, the ratio is far too high."""
    kappa: Weight = 10.0
    """Inverse temperature of the choice; Q is divided by the spread of its targets first."""


@struct.dataclass
class ValueState:
    """Everything that changes during a run, and the frozen policy."""

    params: dict
    pretrained: dict
    optimiser: optax.OptState
    serving: Serving
    # Running spread of the Q targets: makes kappa independent of the reward's unit.
    return_spread: Float[Array, ""]
    feedback: FeedbackState | None = None


@dataclass(frozen=True)
class ValueLearner(ServingLearner):
    """Acts with the proposal that the online critic values more; the online policy learns off-policy."""

    def __post_init__(self) -> None:
        self._model.check(self.scene.network)

    def init(self, key: PRNGKeyArray, hyper: ValueHyper, data: Data, start: tuple[dict, dict]) -> ValueState:
        """Opens B sessions; of `start` the first policy stays as it is, the second is where the online one starts."""
        pretrained, online = start
        spread = jnp.float32(1.0)
        actor = value_actor(self.scene.network, pretrained, online, hyper.kappa, spread)
        serving = self.open(key, actor, data)
        feedback = begin_pair_feedback(self, key, online, serving, actor, data, self._model)
        return ValueState(online, pretrained, optimiser().init(online), serving, spread, feedback)

    def update(self, run: ValueState, hyper: ValueHyper, data: Data) -> tuple[ValueState, dict[str, Array]]:
        """Serves `rollout` turns with the chosen proposals, then takes one step on the online policy."""
        now = off_policy_step(self, run, hyper, data, self._model)
        return run.replace(  # type: ignore[attr-defined]
            params=now.params, optimiser=now.optimiser, serving=now.served.serving, feedback=now.feedback,
            return_spread=0.9 * run.return_spread + 0.1 * now.metrics["return_spread"],
        ), now.metrics  # fmt: skip

    @property
    def _model(self) -> FeedbackConfig:
        return self.config or NO_FEEDBACK

    def actor(self, run: ValueState, hyper: ValueHyper, data: Data, greedy: Flag = False) -> Actor:
        """The choice as it stands."""
        del data
        return value_actor(
            self.scene.network, run.pretrained, run.params, hyper.kappa, run.return_spread, greedy
        )

    def product(self, run: ValueState) -> dict:
        """The online policy's parameters."""
        return run.params


@register("a_ialp_ap_value")
@dataclass(frozen=True)
@checked
class ValueChoice:
    """A-iALP_ap, value choice: iALP's proposal or an online policy's, by their values."""

    start: Literal["random", "pretrained"] = "pretrained"
    """Where its online policy starts."""
    hyper: Annotated[ValueHyper, Flat] = field(default_factory=ValueHyper)
    """Numbers of online learning and of the choice."""
    model: Annotated[FeedbackConfig, Flat] = FeedbackConfig()
    """How the online policy's scores are fitted to the users' feedback."""

    card: ClassVar[Card] = Card(
        "A-iALP_ap value", "iALP or an online policy, by their values", PREFERENCES, learns_online=True, default=True,
        paper="arXiv 2501.13816",
        rivals=(
            Rival("a_ialp_ft", "final_reward", "Does value choice end above fine-tuning?"),
            Rival("a_ialp_ft", "mean_reward", "Does value choice earn more than fine-tuning overall?"),
            Rival("a2c", "final_reward", "Does value choice end above A2C?"),
            Rival("a2c", "mean_reward", "Does value choice earn more than A2C overall?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("ialp",)
    recipes: ClassVar[Recipes] = gradient_alone()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """iALP's pre-training, then online learning beside its policy."""
        prior = study.method("ialp")
        first = prior.pretraining()
        online = first if self.start == "pretrained" else UNTRAINED
        config = () if self.model == NO_FEEDBACK else self.model
        return first, Stage(
            "a_ialp_ap_value",
            ValueLearner,
            config,
            self.hyper,
            online_needs(prior.look),
            (first, online),
            sharpness=self.model.own_sharpness,
        )


def value_actor(  # type: ignore[no-untyped-def]
    network, pretrained: dict, online: dict, kappa, return_spread: Float[Array, ""], greedy: Flag = False
) -> Actor:
    """Serves users with the proposal that the online critic values more."""

    def act(key, recall, situation):  # type: ignore[no-untyped-def]
        recall, frozen = jax.lax.stop_gradient((recall, online))
        first = item_distribution(network, pretrained, recall.pretrained, situation)
        second = item_distribution(network, online, recall.online, situation)

        def score(items: Array) -> Array:
            scale = kappa / (return_spread + 1e-6)
            return scale * network.action_value(frozen, recall.online.features, items)

        return choose_by_value(key, first, second, score, greedy)

    return pair_actor(network, pretrained, online, act)


def choose_by_value(  # type: ignore[no-untyped-def]
    key: PRNGKeyArray,
    pretrained: ItemDistribution,
    online: ItemDistribution,
    score,
    greedy: Flag,
) -> tuple[Int[Array, "B"], Choice]:
    """Each policy proposes; item i is taken with probability softmax(score)_i.

    The probability of the executed item a under the whole procedure,

        P(a) = pi_pre(a) E_{b ~ pi_on}[sigmoid(s_a - s_b)] + pi_on(a) E_{b ~ pi_pre}[sigmoid(s_a - s_b)],

    is estimated without bias by one fresh rival b from each policy.
    """
    first_key, second_key, choice_key = jax.random.split(key, 3)
    offer_pre, rival_pre = pretrained.sample(seed=first_key, sample_shape=(2,))
    offer_on, rival_on = online.sample(seed=second_key, sample_shape=(2,))
    offer_pre = greedy_or(greedy, pretrained.mode, offer_pre)
    offer_on = greedy_or(greedy, online.mode, offer_on)
    offers = (offer_pre, offer_on)
    item, _ = chosen_by_value(choice_key, offers, (score(offer_pre), score(offer_on)), greedy)
    rivals = (rival_pre, rival_on)
    first, second, value = pretrained.log_prob(item), online.statistics(item), score(item)
    by_pretrained = first + jax.nn.log_sigmoid(value - score(rivals[1]))
    by_online = second.log_prob + jax.nn.log_sigmoid(value - score(rivals[0]))
    return item, Choice(jnp.logaddexp(by_pretrained, by_online), first, second)
