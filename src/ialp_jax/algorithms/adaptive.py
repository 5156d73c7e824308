"""A-iALP_ap: a frozen pre-trained policy combined with a policy learnt online.

The paper's formula is not available to us; two readings are built:

* mixture: act with pi~ = w pi_pre + (1 - w) pi_on, with w constant, annealed or learnt;
* value: each policy proposes an item, and softmax(kappa Q) of the online critic chooses (as in Policy Expansion,
  arXiv 2302.00935).

The executed item comes from the combination, so pi_on learns off-policy, by the clipped ratio pi_on / pi~.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.algorithms import a2c
from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.returns import Targets
from ialp_jax.policies.actor_critic import Network, Recall
from ialp_jax.policies.catalogue import HeadStatistics, ItemDistribution
from ialp_jax.ranges import Weight, between
from ialp_jax.serving.rollout import Served, Serving, open_stream, serve_rollout
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average, deviation, draw
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World


@dataclass(frozen=True)
class Config(a2c.Config):
    """Static shape of a run, and which reading of A-iALP_ap it is."""

    reading: Literal["mixture", "value"] = "mixture"
    """How the two policies are combined."""
    weight: Literal["constant", "annealed", "learnt"] = "annealed"
    """Weight of the pre-trained policy in the mixture: constant, falling linearly to 0, or by policy gradient."""


@struct.dataclass
class Hyper(ActorCriticHyper):
    """Numbers of the combination, on top of the actor-critic's."""

    weight: Annotated[float, between(0, 1)] = 0.5
    """w at the start: weight of the pre-trained policy, in (0, 1)."""
    anneal: Weight = 0.5
    """Fraction of the run after which an annealed weight is 0."""
    weight_rate: Weight = 0.02
    """Step size of Adam on the logit of a learnt weight."""
    kappa: Weight = 10.0
    """Inverse temperature of the value choice; Q is divided by the spread of its targets first."""


@struct.dataclass
class PairRecall:
    """What both policies remember of a session."""

    pretrained: Recall
    online: Recall


@struct.dataclass
class RunState:
    """Everything that changes during a run, and the frozen policy."""

    params: dict
    pretrained: dict
    optimiser: optax.OptState
    serving: Serving
    weight_logit: Float[Array, ""]
    weight_optimiser: optax.OptState
    # Running spread of the Q targets: makes kappa independent of the reward's unit.
    return_spread: Float[Array, ""]


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


@dataclass(frozen=True)
class AdaptiveA2C:
    """A-iALP_ap in either reading."""

    config: Config
    simulator: Simulator
    network: Network

    def init(self, key: PRNGKeyArray, hyper: Hyper, world: World, pretrained: dict, online: dict) -> RunState:
        """Opens B sessions; `pretrained` stays as it is, `online` is where the learning policy starts."""
        weight = jnp.asarray(hyper.weight, jnp.float32)
        logit = jnp.log(weight) - jnp.log1p(-weight)
        actor = combined_actor(self.config, self.network, pretrained, online, weight, hyper, jnp.float32(1.0))
        return RunState(
            params=online,
            pretrained=pretrained,
            optimiser=a2c.optimiser().init(online),
            serving=open_stream(key, self.config, self.simulator, actor, world),
            weight_logit=logit,
            weight_optimiser=a2c.optimiser().init(logit),
            return_spread=jnp.float32(1.0),
        )

    def update(self, run: RunState, hyper: Hyper, world: World) -> tuple[RunState, dict[str, Array]]:
        """Serves `rollout` turns with the combination, then takes one step on the online policy (and on w)."""

        def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array], Targets]]:
            actor = self.actor(run.replace(params=params), hyper)  # type: ignore[attr-defined]
            served = serve_rollout(run.serving, self.config, self.simulator, actor, world)
            now = served.transitions
            value, (metrics, targets) = actor_critic_loss(
                params, self.network, now.recall.online, now.reached.online, now, now.extras.online,
                now.extras.behaviour, hyper, self.config.block_rows,
            )  # fmt: skip
            return value, (served, metrics, targets)

        gradients, (served, metrics, targets) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        choice = served.transitions.extras
        params, optimiser = a2c.gradient_step(run.params, run.optimiser, gradients, hyper)
        weight_logit, weight_optimiser = self._step_weight(run, hyper, choice, targets.gains)
        metrics = {**metrics, "weight": self._weight(run, hyper)}
        return run.replace(  # type: ignore[attr-defined]
            params=params, optimiser=optimiser, serving=served.serving,
            weight_logit=weight_logit, weight_optimiser=weight_optimiser,
            return_spread=0.9 * run.return_spread + 0.1 * metrics["return_spread"],
        ), metrics  # fmt: skip

    def actor(self, run: RunState, hyper: Hyper, greedy: a2c.Flag = False) -> Actor:
        """The combination as it stands."""
        return combined_actor(
            self.config, self.network, run.pretrained, run.params, self._weight(run, hyper), hyper,
            run.return_spread, greedy,
        )  # fmt: skip

    def _weight(self, run: RunState, hyper: Hyper) -> Float[Array, ""]:
        """w of the pre-trained policy at this update."""
        if self.config.weight == "learnt":
            return jax.nn.sigmoid(run.weight_logit)
        weight = jnp.asarray(hyper.weight, jnp.float32)
        if self.config.weight == "annealed":
            weight = weight * a2c.remaining(run.serving.update, self.config.updates, hyper.anneal)
        return weight

    def _step_weight(
        self, run: RunState, hyper: Hyper, choice: Choice, gains: Float[Array, "T B"]
    ) -> tuple[Float[Array, ""], Any]:
        """Policy gradient of the mixture with respect to the logit of w: up where the pre-trained policy's
        proposals had the larger advantage, down where the online policy's had. The mixture itself acted, so the
        advantages carry no importance weight."""
        if self.config.reading != "mixture" or self.config.weight != "learnt":
            return run.weight_logit, run.weight_optimiser
        scaled = gains / (deviation(gains) + 1e-6)

        def loss(logit: Float[Array, ""]) -> Float[Array, ""]:
            return -jnp.mean(
                scaled * mixture_log_prob(jax.nn.sigmoid(logit), choice.pretrained, choice.online.log_prob)
            )

        gradient = average(jax.grad(loss)(run.weight_logit))
        return a2c.adam_step(run.weight_logit, run.weight_optimiser, gradient, hyper.weight_rate)


def mixture_log_prob(
    weight: Float[Array, ""], pretrained: Float[Array, "*s"], online: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """log(w pi_pre + (1 - w) pi_on) from the two log-probabilities; exact at w = 0 and w = 1."""
    tiny = jnp.finfo(jnp.float32).tiny
    first, second = jnp.log(jnp.maximum(weight, tiny)), jnp.log(jnp.maximum(1.0 - weight, tiny))
    return jnp.logaddexp(first + pretrained, second + online)


def combined_actor(
    config: Config,
    network: Network,
    pretrained: dict,
    online: dict,
    weight: Float[Array, ""],
    hyper: Hyper,
    return_spread: Float[Array, ""],
    greedy: a2c.Flag = False,
) -> Actor:
    """Serves users with both policies at once."""

    def begin(observation):  # type: ignore[no-untyped-def]
        return PairRecall(network.begin(pretrained, observation), network.begin(online, observation))

    def advance(recall, item, feedback, appended):  # type: ignore[no-untyped-def]
        return PairRecall(
            network.advance(pretrained, recall.pretrained, item, feedback, appended),
            network.advance(online, recall.online, item, feedback, appended),
        )

    def act(key, recall, situation):  # type: ignore[no-untyped-def]
        recall, frozen = jax.lax.stop_gradient((recall, online))
        first = a2c.item_distribution(network, pretrained, recall.pretrained, situation)
        second = a2c.item_distribution(network, online, recall.online, situation)
        if config.reading == "mixture":
            return choose_by_weight(key, first, second, weight, greedy)

        def score(items: Array) -> Array:
            scale = hyper.kappa / (return_spread + 1e-6)
            return scale * network.action_value(frozen, recall.online.features, items)

        return choose_by_value(key, first, second, score, greedy)

    return Actor(begin, advance, act)


def choose_by_weight(
    key: PRNGKeyArray,
    pretrained: ItemDistribution,
    online: ItemDistribution,
    weight: Float[Array, ""],
    greedy: a2c.Flag,
) -> tuple[Int[Array, "B"], Choice]:
    """Samples from (or takes the mode of) the mixture w pi_pre + (1 - w) pi_on."""
    pick_key, first_key, second_key = jax.random.split(key, 3)
    takes_pretrained = draw(jax.random.uniform, pick_key, pretrained.batch_shape) < weight
    draws = pretrained.sample(seed=first_key), online.sample(seed=second_key)
    mode = partial(mixture_mode, pretrained, online, weight)
    item = a2c.greedy_or(greedy, mode, jnp.where(takes_pretrained, *draws))
    first, second = pretrained.log_prob(item), online.statistics(item)
    return item, Choice(mixture_log_prob(weight, first, second.log_prob), first, second)


def mixture_mode(
    pretrained: ItemDistribution, online: ItemDistribution, weight: Float[Array, ""]
) -> Int[Array, "B"]:
    """The most probable item of the mixture (the lowest id among equals), block by block of the catalogue."""

    def better(found: tuple[Array, Array], block: Int[Array, ""]) -> tuple[tuple[Array, Array], None]:
        ids, first = pretrained.log_probs(block)
        probs = weight * jnp.exp(first) + (1.0 - weight) * jnp.exp(online.log_probs(block)[1])
        best = jnp.max(probs, axis=-1)
        item = ids[jnp.argmax(probs, axis=-1)]
        return (jnp.maximum(found[0], best), jnp.where(best > found[0], item, found[1])), None

    rows = pretrained.batch_shape
    start = (jnp.full(rows, -1.0), jnp.zeros(rows, jnp.int32))
    return jax.lax.scan(better, start, jnp.arange(pretrained.blocks, dtype=jnp.int32))[0][1]


def choose_by_value(  # type: ignore[no-untyped-def]
    key: PRNGKeyArray,
    pretrained: ItemDistribution,
    online: ItemDistribution,
    score,
    greedy: a2c.Flag,
) -> tuple[Int[Array, "B"], Choice]:
    """Each policy proposes; item i is taken with probability softmax(score)_i.

    The probability of the executed item a under the whole procedure,

        P(a) = pi_pre(a) E_{b ~ pi_on}[sigmoid(s_a - s_b)] + pi_on(a) E_{b ~ pi_pre}[sigmoid(s_a - s_b)],

    is estimated without bias by one fresh rival b from each policy.
    """
    first_key, second_key, choice_key = jax.random.split(key, 3)
    offer_pre, rival_pre = pretrained.sample(seed=first_key, sample_shape=(2,))
    offer_on, rival_on = online.sample(seed=second_key, sample_shape=(2,))
    offer_pre = a2c.greedy_or(greedy, pretrained.mode, offer_pre)
    offer_on = a2c.greedy_or(greedy, online.mode, offer_on)
    preference = jax.nn.sigmoid(score(offer_pre) - score(offer_on))
    level = jnp.where(greedy, 0.5, draw(jax.random.uniform, choice_key, preference.shape))
    item = jnp.where(level < preference, offer_pre, offer_on)
    rivals = (rival_pre, rival_on)
    first, second, value = pretrained.log_prob(item), online.statistics(item), score(item)
    by_pretrained = first + jax.nn.log_sigmoid(value - score(rivals[1]))
    by_online = second.log_prob + jax.nn.log_sigmoid(value - score(rivals[0]))
    return item, Choice(jnp.logaddexp(by_pretrained, by_online), first, second)
