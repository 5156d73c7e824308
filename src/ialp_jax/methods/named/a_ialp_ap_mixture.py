"""A-iALP_ap read as a mixture: act with pi~ = w pi_pre + (1 - w) pi_on, with w constant, annealed or learnt."""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.optimiser import adam_step, optimiser, remaining
from ialp_jax.marks import Only, Since
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Recipes, Rival, Stage, online_needs
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.combination import Choice, begin_pair_feedback, off_policy_step, pair_actor
from ialp_jax.methods.learners.feedback import FeedbackConfig, FeedbackState, gradient_alone
from ialp_jax.methods.learners.serving import ServingLearner
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, greedy_or, item_distribution
from ialp_jax.policies.catalogue import ItemDistribution
from ialp_jax.ranges import Weight, between
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average, deviation, draw
from ialp_jax.values import checked

EVIDENCE_RATE = 0.1  # of the running mean of what turns told, per update


@struct.dataclass
class MixtureHyper(ActorCriticHyper):
    """Numbers of the mixture, on top of the actor-critic's."""

    weight: Annotated[float, between(0, 1)] = 0.5
    """w at the start: weight of the pre-trained policy, in (0, 1)."""
    anneal: Annotated[Weight, Only("schedule", "annealed")] = 0.5
    """Fraction of the run after which an annealed weight is 0."""
    evidence: Annotated[Weight, Only("schedule", "evidence"), Since(10.0)] = 10.0
    """Weight of a squared error of the predicted feedback against the other policy's: about 1 / (2 variance)."""
    weight_rate: Annotated[Weight, Only("schedule", "learnt")] = 0.02
    """Step size of Adam on the logit of a learnt weight."""


@dataclass(frozen=True)
@checked
class MixtureConfig(FeedbackConfig):
    """What decides the program."""

    schedule: Literal["constant", "annealed", "learnt", "evidence"] = "evidence"
    """Weight of the pre-trained policy: constant, falling linearly to 0, by policy gradient, or in every state by how well
    either policy's scores predicted the feedback, of this session and of all before."""


@struct.dataclass
class MixtureState:
    """Everything that changes during a run, and the frozen policy."""

    params: dict
    pretrained: dict
    optimiser: optax.OptState
    serving: Serving
    weight_logit: Float[Array, ""]
    weight_optimiser: optax.OptState
    feedback: FeedbackState | None = None


@dataclass(frozen=True)
class MixtureLearner(ServingLearner):
    """Acts with the mixture; the online policy learns off-policy."""

    config: MixtureConfig = MixtureConfig()

    def __post_init__(self) -> None:
        self.config.check(self.scene.network)

    def init(
        self, key: PRNGKeyArray, hyper: MixtureHyper, data: Data, start: tuple[dict, dict]
    ) -> MixtureState:
        """Opens B sessions; of `start` the first policy stays as it is, the second is where the online one starts."""
        pretrained, online = start
        weight = jnp.asarray(hyper.weight, jnp.float32)
        logit = jnp.log(weight) - jnp.log1p(-weight)
        actor = self._mixture(hyper, pretrained, online, logit, weight)
        serving = self.open(key, actor, data)
        return MixtureState(
            params=online,
            pretrained=pretrained,
            optimiser=optimiser().init(online),
            serving=serving,
            weight_logit=logit,
            weight_optimiser=optimiser().init(logit),
            feedback=begin_pair_feedback(self, key, online, serving, actor, data, self.config),
        )

    def update(
        self, run: MixtureState, hyper: MixtureHyper, data: Data
    ) -> tuple[MixtureState, dict[str, Array]]:
        """Serves `rollout` turns with the mixture, then takes one step on the online policy (and on w)."""
        now = off_policy_step(self, run, hyper, data, self.config)
        weight_logit, weight_optimiser = self._step_weight(
            run, hyper, now.served.transitions, now.targets.gains
        )
        metrics = {**now.metrics, "weight": self._weight(run, hyper)}
        return run.replace(  # type: ignore[attr-defined]
            params=now.params, optimiser=now.optimiser, serving=now.served.serving, feedback=now.feedback,
            weight_logit=weight_logit, weight_optimiser=weight_optimiser,
        ), metrics  # fmt: skip

    def actor(self, run: MixtureState, hyper: MixtureHyper, data: Data, greedy: Flag = False) -> Actor:
        """The mixture as it stands."""
        del data
        return self._mixture(
            hyper, run.pretrained, run.params, run.weight_logit, self._weight(run, hyper), greedy
        )

    def _mixture(
        self,
        hyper: MixtureHyper,
        pretrained: dict,
        online: dict,
        logit: Array,
        weight: Array,
        greedy: Flag = False,
    ) -> Actor:
        network = self.scene.network
        if self.config.schedule != "evidence":
            return mixture_actor(network, pretrained, online, weight, greedy)
        return mixture_actor(network, pretrained, online, logit, greedy, jnp.float32(hyper.evidence))

    def product(self, run: MixtureState) -> dict:
        """The online policy's parameters."""
        return run.params

    def _weight(self, run: MixtureState, hyper: MixtureHyper) -> Float[Array, ""]:
        """w of the pre-trained policy at this update."""
        if self.config.schedule in ("learnt", "evidence"):
            return jax.nn.sigmoid(run.weight_logit)
        weight = jnp.asarray(hyper.weight, jnp.float32)
        if self.config.schedule == "annealed":
            weight = weight * remaining(run.serving.update, self.updates, hyper.anneal)
        return weight

    def _step_weight(
        self, run: MixtureState, hyper: MixtureHyper, now: Transition, gains: Float[Array, "T B"]
    ) -> tuple[Float[Array, ""], Any]:
        """The logit of w after an update.

        Learnt: policy gradient of the mixture, up where the pre-trained policy's proposals had the larger advantage, down
        where the online policy's had. The mixture itself acted, so the advantages carry no importance weight.

        Evidence: what a whole session would tell for the pre-trained policy, as the running mean of what turns told.
        """
        if self.config.schedule == "evidence":
            told = now.reached.evidence - now.recall.evidence
            session = self.scene.simulator.config.turn_cap * hyper.evidence * average(jnp.mean(told))
            return run.weight_logit + EVIDENCE_RATE * (session - run.weight_logit), run.weight_optimiser
        if self.config.schedule != "learnt":
            return run.weight_logit, run.weight_optimiser
        choice = now.extras
        scaled = gains / (deviation(gains) + 1e-6)

        def loss(logit: Float[Array, ""]) -> Float[Array, ""]:
            return -jnp.mean(
                scaled * mixture_log_prob(jax.nn.sigmoid(logit), choice.pretrained, choice.online.log_prob)
            )

        gradient = average(jax.grad(loss)(run.weight_logit))
        return adam_step(run.weight_logit, run.weight_optimiser, gradient, hyper.weight_rate)


@register("a_ialp_ap_mixture")
@dataclass(frozen=True)
@checked
class Mixture:
    """A-iALP_ap, mixture: iALP's policy mixed with one that learns online."""

    start: Literal["random", "pretrained"] = "pretrained"
    """Where its online policy starts."""
    config: Annotated[MixtureConfig, Flat] = MixtureConfig()
    """How the two are mixed."""
    hyper: Annotated[MixtureHyper, Flat] = field(default_factory=MixtureHyper)
    """Numbers of online learning and of the mixture."""

    card: ClassVar[Card] = Card(
        "A-iALP_ap mixture", "iALP mixed with an online policy", PREFERENCES, learns_online=True, default=True,
        paper="arXiv 2501.13816", curves={"weight": "weight of the pre-trained policy"},
        rivals=(
            Rival("a_ialp_ft", "final_reward", "Does the mixture end above fine-tuning?"),
            Rival("a_ialp_ft", "mean_reward", "Does the mixture earn more than fine-tuning overall?"),
            Rival("a2c", "final_reward", "Does the mixture end above A2C?"),
            Rival("a2c", "mean_reward", "Does the mixture earn more than A2C overall?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("ialp",)
    recipes: ClassVar[Recipes] = gradient_alone(schedule="annealed")

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """iALP's pre-training, then online learning beside its policy."""
        prior = study.method("ialp")
        first = prior.pretraining()
        online = first if self.start == "pretrained" else UNTRAINED
        return first, Stage(
            "a_ialp_ap_mixture",
            MixtureLearner,
            self.config,
            self.hyper,
            online_needs(prior.look),
            (first, online),
            sharpness=self.config.own_sharpness,
        )


def mixture_log_prob(
    weight: Float[Array, "*w"], pretrained: Float[Array, "*s"], online: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """log(w pi_pre + (1 - w) pi_on) from the two log-probabilities; exact at w = 0 and w = 1."""
    tiny = jnp.finfo(jnp.float32).tiny
    first, second = jnp.log(jnp.maximum(weight, tiny)), jnp.log(jnp.maximum(1.0 - weight, tiny))
    return jnp.logaddexp(first + pretrained, second + online)


def mixture_actor(  # type: ignore[no-untyped-def]
    network,
    pretrained: dict,
    online: dict,
    weight: Float[Array, ""],
    greedy: Flag = False,
    evidence: Float[Array, ""] | None = None,
) -> Actor:
    """Serves users with the mixture of both policies.

    Args:
        network: of both.
        pretrained: parameters of the policy that stays.
        online: parameters of the one that learns.
        weight: w, the same in every state; with `evidence` the logit of w before a session has told anything.
        greedy: whether the mode is taken.
        evidence: weight of the session's own squared errors in the logit of w; None for a w that is the same everywhere.
    """

    def act(key, recall, situation):  # type: ignore[no-untyped-def]
        recall = jax.lax.stop_gradient(recall)
        first = item_distribution(network, pretrained, recall.pretrained, situation)
        second = item_distribution(network, online, recall.online, situation)
        share = weight if evidence is None else jax.nn.sigmoid(weight + evidence * recall.evidence)
        return choose_by_weight(key, first, second, share, greedy)

    return pair_actor(network, pretrained, online, act, weighs_evidence=evidence is not None)


def choose_by_weight(
    key: PRNGKeyArray,
    pretrained: ItemDistribution,
    online: ItemDistribution,
    weight: Float[Array, ""] | Float[Array, "B"],
    greedy: Flag,
) -> tuple[Int[Array, "B"], Choice]:
    """Samples from (or takes the mode of) the mixture w pi_pre + (1 - w) pi_on; a w that is no number counts as 0."""
    weight = jnp.where(weight >= 0.0, weight, 0.0)
    pick_key, first_key, second_key = jax.random.split(key, 3)
    takes_pretrained = draw(jax.random.uniform, pick_key, pretrained.batch_shape) < weight
    draws = pretrained.sample(seed=first_key), online.sample(seed=second_key)
    mode = partial(mixture_mode, pretrained, online, weight)
    item = greedy_or(greedy, mode, jnp.where(takes_pretrained, *draws))
    first, second = pretrained.log_prob(item), online.statistics(item)
    return item, Choice(mixture_log_prob(weight, first, second.log_prob), first, second)


def mixture_mode(
    pretrained: ItemDistribution, online: ItemDistribution, weight: Float[Array, ""] | Float[Array, "B"]
) -> Int[Array, "B"]:
    """The most probable item of the mixture (the lowest id among equals), block by block of the catalogue."""

    def better(leader: tuple[Array, Array], block: Int[Array, ""]) -> tuple[tuple[Array, Array], None]:
        ids, first = pretrained.log_probs(block)
        share = jnp.broadcast_to(weight, rows)[:, None]
        probs = share * jnp.exp(first) + (1.0 - share) * jnp.exp(online.log_probs(block)[1])
        best = jnp.max(probs, axis=-1)
        item = ids[jnp.argmax(probs, axis=-1)]
        return (jnp.maximum(leader[0], best), jnp.where(best > leader[0], item, leader[1])), None

    rows = pretrained.batch_shape
    start = (jnp.full(rows, -1.0), jnp.zeros(rows, jnp.int32))
    return jax.lax.scan(better, start, jnp.arange(pretrained.blocks, dtype=jnp.int32))[0][1]
