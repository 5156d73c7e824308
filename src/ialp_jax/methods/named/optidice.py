"""OptiDICE: how much more often the best policy near the logs would make each logged decision; imitated, then frozen.

The multipliers nu and lambda of `learning/dice.py` (arXiv 2106.10783) weigh logged decisions by w; then the policy imitates
them in proportion. Only that sums over the catalogue, in blocks. Where public code is not followed, or texts leave a choice:

* The mean over s' stands inside a convex function. The public code has one s' there (`sampled`), which minimises an upper
  bound: it takes luck of the feedback for merit. `averaged` fits q(s, a) to r + gamma nu(s') and has w from q - nu - lambda.
  The dual's slope in e is w, and w e is linear in e: with that w one s' is enough, the stationary point is the true one.
  q has parameters of its own, and fits only what is random; the paper's network for e fits nu(s) and lambda as well.
* Where the user left comes an absorbing state that pays 0, with a multiplier of its own (`absorbing`): the bootstrap is not cut
  there, and every departure adds one of its loops to the data. Without it nothing follows a departure. A session that the
  turn cap cut is bootstrapped from where it stood.
* Rewards are scaled, never centred: a shift would be paid for staying.
* chi2: log w = log(max(e / alpha + 1, eps)), also where e < 0 (the public code has log eps there).
* With gamma < 1 lambda and nu are one too many: nu + c with lambda - (1 - gamma) c is the same w.
* The projection's policy has a softmax over items, so its entropy needs no bound; the policy of the data is cloned beside it.
  It wants soft_chi2: chi2's log eps is so dear that some seeds settle too early (mean .875 of a small world's optimum).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.dice import (
    DiceHyper,
    DualConfig,
    Multipliers,
    StepNumbers,
    Values,
    density_ratio,
    dice_loss,
    errors,
    log_density_ratio,
)
from ialp_jax.learning.experience import Experience
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.row_losses import action_statistics, window_features
from ialp_jax.marks import Only
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, Rival, Stage, online_needs
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.offline import FrozenWindow, OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import catalogue_distribution
from ialp_jax.policies.catalogue.softmax import chosen_logits
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import at_least
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average, draw
from ialp_jax.values import checked

Loss = tuple[Float[Array, ""], dict[str, Array]]


@dataclass(frozen=True)
@checked
class DiceConfig(DualConfig, OfflineConfig):
    """What decides the program of the multipliers."""


@dataclass(frozen=True)
@checked
class ExtractionConfig(OfflineConfig):
    """What decides the program that makes a policy of the weights."""

    extraction: Literal["cloning", "projection"] = "cloning"
    """cloning imitates logged items by w; projection minimises KL(pi || pi_D w) over items that the policy draws."""
    draws: Annotated[int, at_least(2), Only("extraction", "projection")] = 8
    """Items drawn for every logged decision."""


@struct.dataclass
class DiceParams:
    """Parameters whose V is nu, those whose Q is q, and the scalars."""

    multiplier: dict
    critic: dict
    scalars: Multipliers

    def values(self, network: Network, rows: Experience) -> Values:
        """What the dual reads of logged rows."""
        nu = partial(network.value, self.multiplier)
        windows = (rows.window, rows.window_after())
        value, after = (nu(window_features(network, self.multiplier, window)) for window in windows)
        features = window_features(network, self.critic, rows.window)
        predicted = network.action_value(self.critic, features, rows.action)
        return Values(rows.reward, rows.terminated, value, after, predicted)


@dataclass(frozen=True)
class DiceLearner(OfflineLearner):
    """Multipliers of logged sessions; its product has the numbers they were fitted with."""

    config: DiceConfig = DiceConfig()

    def init(self, key: PRNGKeyArray, hyper: DiceHyper, data: Data, start: tuple[dict]) -> OfflineState:
        """Both networks start from the parameters in `start`, the scalars at 0."""
        del data
        scalars = Multipliers(jnp.float32(0.0), jnp.float32(0.0))
        params = DiceParams(start[0], start[0], scalars)
        numbers = jax.tree.map(lambda number: jnp.asarray(number, jnp.float32), hyper)
        return OfflineState(params, numbers, optimiser().init(params), key, jnp.int32(0))  # type: ignore[arg-type]

    def update(
        self, run: OfflineState, hyper: DiceHyper, data: Data
    ) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        assert data.logged is not None
        key, batch_key, start_key = jax.random.split(run.key, 3)
        rows, network, logged = self.batch(batch_key, data), self.scene.network, data.logged
        begun = partial(jax.random.randint, minval=0, maxval=logged.length.shape[0])
        sessions = draw(begun, start_key, rows.action.shape)
        opening = jax.tree.map(lambda leaf: leaf[sessions, 0], logged.window)
        ended = jnp.sum(logged.terminated.astype(jnp.float32)) / logged.turns.shape[0]

        def loss(params: DiceParams) -> Loss:
            features = window_features(network, params.multiplier, opening)
            start = network.value(params.multiplier, features)
            values = params.values(network, rows)
            return dice_loss(start, values, params.scalars, ended, hyper, self.config)

        gradients, metrics = average(jax.grad(loss, has_aux=True)(run.params))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return OfflineState(params, run.target, state, key, run.update + 1), metrics | told

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """It has no policy yet: that of untrained scores."""
        del hyper, data
        return window_actor(self.scene.network, run.params.multiplier, greedy)  # type: ignore[attr-defined]

    def product(self, run: OfflineState) -> tuple[DiceParams, DiceHyper]:
        """The multipliers, and the numbers that decide what their errors weigh."""
        return run.params, run.target  # type: ignore[return-value]


@dataclass(frozen=True)
class Extraction:
    """What decides the program of the second stage."""

    weights: DiceConfig = DiceConfig()
    policy: ExtractionConfig = ExtractionConfig()

    @property
    def updates(self) -> int:
        """Gradient steps."""
        return self.policy.updates

    @property
    def batch(self) -> int:
        """Logged turns in each of them."""
        return self.policy.batch


@struct.dataclass
class Policies:
    """Parameters of the policy, and of the clone of the data's policy that a projection starts from."""

    policy: dict
    data: dict


@dataclass(frozen=True)
class ExtractionLearner(OfflineLearner):
    """A policy of the weights that the multipliers give logged decisions."""

    config: Extraction = Extraction()  # type: ignore[assignment]

    def init(
        self, key: PRNGKeyArray, hyper: StepNumbers, data: Data, start: tuple[tuple[DiceParams, DiceHyper]]
    ) -> OfflineState:
        """Holds the multipliers; the policy starts from the parameters of nu."""
        del hyper, data
        begun = start[0][0].multiplier
        cloned = begun if self.config.policy.extraction == "projection" else {}
        params: Any = Policies(begun, cloned)
        return OfflineState(params, start[0], optimiser().init(params), key, jnp.int32(0))

    def update(
        self, run: OfflineState, hyper: StepNumbers, data: Data
    ) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        key, batch_key, loss_key = jax.random.split(run.key, 3)
        rows = self.batch(batch_key, data)
        extract = self.cloning if self.config.policy.extraction == "cloning" else self.projection

        def loss(params: Any) -> Loss:
            return extract(params, run.target, rows, loss_key)

        gradients, metrics = average(jax.grad(loss, has_aux=True)(run.params))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return OfflineState(params, run.target, state, key, run.update + 1), metrics | told

    def cloning(
        self, params: Policies, fitted: tuple[DiceParams, DiceHyper], rows: Experience, key: PRNGKeyArray
    ) -> Loss:
        """-mean(w log pi(a|s)) over logged rows [R]."""
        del key
        network, config, (multipliers, numbers) = self.scene.network, self.config.weights, fitted
        of_rows = errors(multipliers.values(network, rows), multipliers.scalars, numbers, config)
        error = of_rows[1] if config.expectation == "averaged" else of_rows[0]
        ratio = jax.lax.stop_gradient(density_ratio(error / numbers.alpha, config.divergence))
        features = window_features(network, params.policy, rows.window)
        log_prob, entropy = action_statistics(network, params.policy, features, rows)
        loss = -jnp.mean(ratio * log_prob)
        return loss, {"policy_loss": loss, "ratio": jnp.mean(ratio), "entropy": jnp.mean(entropy)}

    def projection(
        self, params: Policies, fitted: tuple[DiceParams, DiceHyper], rows: Experience, key: PRNGKeyArray
    ) -> Loss:
        """min E_pi[log pi(a|s) - log pi_D(a|s) - log w(s, a)] by items that the policy draws, and -mean(log pi_D) of the log.

        The slope is that of log pi times the cost of an item less the mean cost of the row's other draws.
        """
        network, config, (multipliers, numbers) = self.scene.network, self.config.weights, fitted
        features = window_features(network, params.policy, rows.window)
        query, catalogue = network.query(params.policy, features), network.catalogue(params.policy)
        seen = jax.lax.stop_gradient((query, *catalogue))
        plan, draws = network.head_plan(query.shape[0]), self.config.policy.draws
        drawn = catalogue_distribution(plan, *seen, rows.limits).sample(seed=key, sample_shape=(draws,))
        own, entropy, _ = drawn_log_probs(network, params.policy, rows, drawn)
        theirs, _, logged = drawn_log_probs(network, params.data, rows, drawn)
        read = window_features(network, multipliers.critic, rows.window)
        predicted = jax.vmap(lambda items: network.action_value(multipliers.critic, read, items))(drawn)
        nu = multipliers.values(network, rows).value
        offset = nu + multipliers.scalars.normaliser if config.normalised else nu
        weight = log_density_ratio((predicted - offset[None]) / numbers.alpha, config.divergence)
        cost = jax.lax.stop_gradient(own - theirs - weight)
        others = (jnp.sum(cost, axis=0, keepdims=True) - cost) / (draws - 1)
        loss = jnp.mean((cost - others) * own)
        metrics = {"cost": jnp.mean(cost), "cloning_loss": -jnp.mean(logged), "entropy": jnp.mean(entropy)}
        return loss - jnp.mean(logged), metrics

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands, on the window."""
        del hyper, data
        return window_actor(self.scene.network, run.params.policy, greedy)  # type: ignore[attr-defined]

    def product(self, run: OfflineState) -> dict:
        """The policy's parameters."""
        return run.params.policy  # type: ignore[attr-defined, no-any-return]


def drawn_log_probs(
    network: Network, params: dict, rows: Experience, drawn: Int[Array, "M R"]
) -> tuple[Float[Array, "M R"], Float[Array, "R"], Float[Array, "R"]]:
    """log pi of M items a row, the entropy, and log pi of the logged item; one softmax a row, whatever M."""
    features = window_features(network, params, rows.window)
    log_prob, entropy = action_statistics(network, params, features, rows)
    factors = network.query(params, features), *network.catalogue(params)
    matmul = network.module.config.matmul
    apart = chosen_logits(*factors, drawn, matmul) - chosen_logits(*factors, rows.action, matmul)[None]
    return log_prob[None] + apart, entropy, log_prob


@register("optidice")
@dataclass(frozen=True)
@checked
class OptiDICE:
    """OptiDICE on recorded sessions, then frozen."""

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from: a stated logging policy's recorded sessions, or the offline users' own choices."""
    weights: DiceConfig = DiceConfig()
    """Gradient steps of the multipliers, which come first."""
    policy: ExtractionConfig = ExtractionConfig()
    """Gradient steps of the policy."""
    hyper: Annotated[DiceHyper, Flat] = field(default_factory=DiceHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "OptiDICE", "imitation of logged decisions by their visits under the best policy near them, frozen online",
        OFFLINE, learns_online=False, paper="Lee et al. 2021, arXiv 2106.10783",
        rivals=(
            Rival("bc", "mean_reward", "Does OptiDICE earn more than behaviour cloning?"),
            Rival("iql", "initial_reward", "Do visits start above IQL's advantages?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Multipliers, a policy of them, then that policy as it is."""
        del study
        needs = frozenset({Need.RECORDED if self.source == "recorded" else Need.LOGS})
        step = StepNumbers(self.hyper.learning_rate, self.hyper.gradient_norm)
        weights = Stage("OptiDICE multipliers", DiceLearner, self.weights, self.hyper, needs, (UNTRAINED,),
                        budget=Budget.NONE)  # fmt: skip
        policy = Stage("OptiDICE policy", ExtractionLearner, Extraction(self.weights, self.policy), step, needs,
                       (weights,), budget=Budget.NONE)  # fmt: skip
        return weights, policy, Stage("optidice", FrozenWindow, needs=online_needs(False), after=(policy,),
                                      budget=Budget.MEASURE)  # fmt: skip
