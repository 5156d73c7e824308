"""Short-horizon policy improvement: a few passes of imitation, weighted by k-turn advantages of logged sessions; then frozen.

    fit V of the logging policy mu by TD(0) on the log
    pi <- mu;  repeat: A <- k-turn advantages of pi;  pi <- oracle(s, a, A)

(SHPI, arXiv 2106.00589). Where the paper and its code leave a choice or ours differs:

* V has parameters of its own, fitted first and held, so that it stays mu's. The policy starts from a copy of them.
* The advantages of a pass are those of the policy as the pass found it; in the first that is mu itself, whose ratios are 1.
  Propensities must be exact, so recorded sessions are what it learns from; the offline users' own choices have none.
* The public code multiplies rewards and the value at the end of the horizon by ratios, that value by its own ratio too:
  `ratios = all`; `all_but_last` leaves that one out. Where V is far above a reward the advantages then say little but how
  the ratios went (.71 of a small world's optimum at gamma .9, where `errors` had 1.00 of it), so the default, `errors`,
  multiplies temporal differences (`short_horizon_gain`). The means are the same as long as no ratio is clipped. At a
  session's end no decision follows: its ratio is 1.
* V where the turn cap cut a session is the termination bonus; where the user left nothing follows.
* The oracle of the public code is a regression on costs by Vowpal Wabbit. Ours is advantage-weighted regression, or `scores`:
  the logits are fitted to beta A at logged items, and others stay where they are. DualDICE's term is left out.
* Published: k = 5, 5 passes, ratios clipped to [1/2, 2], gamma .99. gamma is .95 here, as for all methods.

The catalogue's size enters through the softmax of logged items alone, k + 1 of them a row, computed in blocks.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.learning.critics import advantage_weight, one_step_target
from ialp_jax.learning.experience import Experience, rows_of
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.row_losses import action_statistics, item_logits, window_features
from ialp_jax.learning.short_horizon import RatioUse, short_horizon_gain
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, Rival, Stage, online_needs
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.offline import FrozenWindow, OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.ranges import Count, Rate, Share, Weight, at_least
from ialp_jax.serving.shares import average
from ialp_jax.values import checked

Loss = tuple[Float[Array, ""], dict[str, Array]]


@struct.dataclass
class ValueHyper:
    """Numbers of the logging policy's value."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class SHPIHyper(ValueHyper):
    """Numbers of short-horizon policy improvement."""

    inverse_temperature: Weight = 1.0
    """beta: how much better decisions are imitated more."""


@dataclass(frozen=True)
@checked
class SHPIConfig(OfflineConfig):
    """What decides the program of the improvement."""

    horizon: Count = 5
    """k: turns of an advantage."""
    passes: Count = 5
    """Passes of improvement: advantages are those of the policy as each of them found it."""
    ratio_clip: Annotated[float, at_least(1)] = 2.0
    """c: ratios of the policy's to the logging policy's probability are clipped to [1 / c, c]."""
    ratios: RatioUse = "errors"
    """What ratios multiply: the later temporal differences; or rewards and the value at the end of the horizon, without that
    value's own ratio, or with it as published."""
    oracle: Literal["weighted", "scores"] = "weighted"
    """How a pass fits the policy: weighted imitates logged items by exp(beta A); scores fits their logits to beta A."""

    @property
    def steps_of_pass(self) -> int:
        """Gradient steps of a pass; the last may have fewer."""
        return -(-self.updates // self.passes)


def value_loss(
    value: Float[Array, "R"],
    reward: Float[Array, "R"],
    next_value: Float[Array, "R"],
    terminated: Bool[Array, "R"],
    discount: Float[Array, ""] | float,
) -> Float[Array, ""]:
    """TD(0): mean((r + gamma (1 - terminated) V(s') - V(s))^2) / 2, the target held."""
    goal = jax.lax.stop_gradient(one_step_target(reward, next_value, terminated, discount))
    return 0.5 * jnp.mean((goal - value) ** 2)


def weighted_loss(
    log_prob: Float[Array, "R"], gain: Float[Array, "R"], inverse_temperature: Float[Array, ""] | float
) -> Float[Array, ""]:
    """-mean(min(exp(beta A), 100) log pi(a|s)), smallest where pi is in proportion to mu times the mean weight."""
    return -jnp.mean(advantage_weight(gain, inverse_temperature) * log_prob)


@dataclass(frozen=True)
class ValueLearner(OfflineLearner):
    """V of the policy that logged."""

    def init(self, key: PRNGKeyArray, hyper: ValueHyper, data: Data, start: tuple[dict]) -> OfflineState:
        """Starts from the parameters in `start`."""
        del hyper, data
        return OfflineState(start[0], (), optimiser().init(start[0]), key, jnp.int32(0))

    def update(
        self, run: OfflineState, hyper: ValueHyper, data: Data
    ) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        key, batch_key = jax.random.split(run.key)
        rows, network = self.batch(batch_key, data), self.scene.network

        def loss(params: dict) -> Loss:
            value, next_value = (
                network.value(params, window_features(network, params, window))
                for window in (rows.window, rows.window_after())
            )
            error = value_loss(value, rows.reward, next_value, rows.terminated, hyper.discount)
            return error, {"value_loss": error, "value": jnp.mean(value)}

        gradients, metrics = average(jax.grad(loss, has_aux=True)(run.params))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return OfflineState(params, (), state, key, run.update + 1), metrics | told


@struct.dataclass
class Held:
    """What a pass does not change.

    Attributes:
        critic: parameters whose V is the logging policy's.
        policy: those of the policy as the pass found it.
    """

    critic: dict
    policy: dict


@dataclass(frozen=True)
class SHPILearner(OfflineLearner):
    """Passes of improvement on logged sessions."""

    config: SHPIConfig = SHPIConfig()

    def init(self, key: PRNGKeyArray, hyper: SHPIHyper, data: Data, start: tuple[dict]) -> OfflineState:
        """Holds V of `start`; the policy starts from a copy of it."""
        del hyper, data
        held = Held(start[0], start[0])
        return OfflineState(start[0], held, optimiser().init(start[0]), key, jnp.int32(0))

    def update(
        self, run: OfflineState, hyper: SHPIHyper, data: Data
    ) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step; a pass begins with the policy of the last one."""
        assert data.logged is not None
        key, batch_key = jax.random.split(run.key)
        begins = run.update % self.config.steps_of_pass == 0
        policy = jax.tree.map(lambda now, old: jnp.where(begins, now, old), run.params, run.target.policy)
        held = Held(run.target.critic, policy)
        numbers = data.logged.numbers(batch_key, self.config.batch)
        rows, done = following(data.logged, numbers, self.config.horizon, self.scene.num_items)
        first = run.update < self.config.steps_of_pass
        gain, metrics = self.gains(held, rows, done, first, hyper)
        loss = jax.grad(self.loss, has_aux=True)
        now = jax.tree.map(lambda leaf: leaf[0], rows)
        gradients, more = loss(run.params, now, gain, hyper)
        gradients, metrics = average((gradients, metrics | more))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return OfflineState(params, held, state, key, run.update + 1), metrics | told

    def gains(
        self,
        held: Held,
        rows: Experience,
        done: Bool[Array, "k B"],
        first: Bool[Array, ""],
        hyper: SHPIHyper,
    ) -> tuple[Float[Array, "B"], dict[str, Array]]:
        """Advantages of the first of k + 1 turns [k + 1, B] of sessions, and metrics; ratios are 1 in the `first` pass."""
        network, clip = self.scene.network, jnp.log(self.config.ratio_clip)
        turns, later = (
            rows_of(jax.tree.map(lambda leaf, part=part: leaf[part], rows))
            for part in (slice(None, -1), slice(1, None))
        )
        features = window_features(network, held.policy, later.window)
        log_prob, _ = action_statistics(network, held.policy, features, later)
        log_ratio = jnp.where(first, 0.0, log_prob - later.log_propensity).reshape(done.shape)
        ratios = jnp.where(done, 1.0, jnp.exp(jnp.clip(log_ratio, -clip, clip)))
        values = (
            network.value(held.critic, window_features(network, held.critic, window))
            for window in (jax.tree.map(lambda leaf: leaf[0], rows.window), turns.window_after())
        )
        value, next_values = next(values), next(values).reshape(done.shape)
        gain = short_horizon_gain(rows.reward[:-1], value, next_values, rows.terminated[:-1], done, ratios,
                                  hyper.discount, self.config.ratios)  # fmt: skip
        return gain, {"gain": jnp.mean(gain), "ratio": jnp.mean(ratios), "value": jnp.mean(value)}

    def loss(self, params: dict, rows: Experience, gain: Float[Array, "B"], hyper: SHPIHyper) -> Loss:
        """The oracle's, of logged rows and their advantages."""
        network = self.scene.network
        features = window_features(network, params, rows.window)
        log_prob, entropy = action_statistics(network, params, features, rows)
        if self.config.oracle == "weighted":
            loss = weighted_loss(log_prob, gain, hyper.inverse_temperature)
        else:
            logits = item_logits(network, params, features, rows.action[:, None])[:, 0]
            loss = 0.5 * jnp.mean((logits - hyper.inverse_temperature * gain) ** 2)
        return loss, {"loss": loss, "entropy": jnp.mean(entropy)}


def following(
    logged: LoggedSessions, numbers: Int[Array, "B"], turns: int, num_items: int
) -> tuple[Experience, Bool[Array, "k B"]]:
    """Logged turns and the k after each of them, [k + 1, B], and in which of the first k the session ended.

    What stands after a session's end is of another session and not to be read.
    """
    session = logged.turns[:, 0]
    places = numbers[None] + jnp.arange(turns + 1, dtype=jnp.int32)[:, None]
    last = session.shape[0] - 1
    same = (places <= last) & (session[jnp.minimum(places, last)] == session[numbers][None])
    rows = logged.rows(jnp.minimum(places, last).reshape(-1), num_items)
    rows = jax.tree.map(lambda leaf: leaf.reshape(*places.shape, *leaf.shape[1:]), rows)
    return rows, ~same[1:]


@register("shpi")
@dataclass(frozen=True)
@checked
class SHPI:
    """Short-horizon policy improvement on recorded sessions, then frozen."""

    values: OfflineConfig = OfflineConfig(updates=1000)
    """Gradient steps of the logging policy's value, which come first."""
    improvement: SHPIConfig = SHPIConfig()
    """Gradient steps of the policy."""
    hyper: Annotated[SHPIHyper, Flat] = field(default_factory=SHPIHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "SHPI", "imitation weighted by k-turn advantages of recorded sessions, frozen online", OFFLINE,
        learns_online=False, paper="Mazoure et al. 2021, arXiv 2106.00589",
        rivals=(
            Rival("bc", "mean_reward", "Does SHPI earn more than behaviour cloning?"),
            Rival("iql", "initial_reward", "Do k-turn advantages start above IQL's?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """V of the logging policy, the passes, then the policy as it is."""
        del study
        numbers, needs = self.hyper, frozenset({Need.RECORDED})
        of_value = ValueHyper(numbers.learning_rate, numbers.discount, numbers.gradient_norm)
        values = Stage("SHPI values", ValueLearner, self.values, of_value, needs, (UNTRAINED,),
                       budget=Budget.NONE)  # fmt: skip
        passes = Stage("SHPI passes", SHPILearner, self.improvement, numbers, needs, (values,),
                       budget=Budget.NONE)  # fmt: skip
        return values, passes, Stage("shpi", FrozenWindow, needs=online_needs(False), after=(passes,),
                                     budget=Budget.MEASURE)  # fmt: skip
