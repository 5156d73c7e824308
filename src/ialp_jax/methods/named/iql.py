"""Implicit Q-learning: on logged sessions, then online with half of every batch from the logs."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.critics import advantage_weight, expectile_loss, one_step_target
from ialp_jax.learning.experience import Experience, experience_of, joined
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.replay import Replay, empty_replay
from ialp_jax.learning.row_losses import action_statistics, follow, value_and_action_value, window_features
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, Need, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.offline import OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.methods.learners.serving import ServingLearner, learning_key
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Count, Rate, Share, Weight, between
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average


@struct.dataclass
class IQLHyper:
    """Numbers of implicit Q-learning."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    expectile: Annotated[float, between(0, 1)] = 0.7
    """tau of the value's regression: .5 is the behaviour's value, near 1 the best logged action's."""
    inverse_temperature: Weight = 3.0
    """beta: how much better decisions are imitated more."""
    target_rate: Share = 0.005
    """Share by which the lagging copy of Q follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


def iql_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: IQLHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The three regressions of IQL (arXiv 2110.06169, eq. 5 to 7) on rows [R]; (loss, metrics).

        L_V = mean(L2_tau(Q^(s, a) - V(s)))    L_Q = mean((r + gamma (1 - terminated) V(s') - Q(s, a))^2) / 2
        L_pi = -mean(min(exp(beta (Q^(s, a) - V(s))), 100) log pi(a|s))

    with Q^ of the lagging copy. No sum over the catalogue enters the values.
    """
    features = window_features(network, params, rows.window)
    value, action_value = value_and_action_value(network, params, features, rows.action)
    lagging = network.action_value(target, window_features(network, target, rows.window), rows.action)
    next_value = network.value(params, window_features(network, params, rows.window_after()))
    lagging, next_value = jax.lax.stop_gradient((lagging, next_value))
    goal = one_step_target(rows.reward, next_value, rows.terminated, hyper.discount)
    advantage = jax.lax.stop_gradient(lagging - value)
    log_prob, entropy = action_statistics(network, params, features, rows)
    weight = advantage_weight(advantage, hyper.inverse_temperature)
    losses = {
        "value_loss": jnp.mean(expectile_loss(lagging - value, hyper.expectile)),
        "action_value_loss": 0.5 * jnp.mean((goal - action_value) ** 2),
        "policy_loss": -jnp.mean(weight * log_prob),
    }
    metrics = {
        **losses,
        "value": jnp.mean(value),
        "weight_of_imitation": jnp.mean(weight),
        "entropy": jnp.mean(entropy),
    }
    return sum(losses.values(), jnp.float32(0.0)), metrics


Parts = tuple[dict, dict, optax.OptState]


def iql_step(
    parts: Parts, network: Network, rows: Experience, hyper: IQLHyper
) -> tuple[Parts, dict[str, Array]]:
    """One gradient step on (parameters, lagging copy, optimiser's state)."""
    params, target, state = parts
    gradients, metrics = average(jax.grad(iql_loss, has_aux=True)(params, target, network, rows, hyper))
    params, state = gradient_step(params, state, gradients, hyper)
    return (params, follow(target, params, hyper.target_rate), state), metrics


@dataclass(frozen=True)
class IQLOffline(OfflineLearner):
    """Gradient steps on logged sessions."""

    def init(self, key: PRNGKeyArray, hyper: IQLHyper, data: Data, start: tuple[dict]) -> OfflineState:
        """Starts from the parameters in `start`."""
        del hyper, data
        return OfflineState(start[0], start[0], optimiser().init(start[0]), key, jnp.int32(0))

    def update(self, run: OfflineState, hyper: IQLHyper, data: Data) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        key, batch_key = jax.random.split(run.key)
        parts = (run.params, run.target, run.optimiser)
        parts, metrics = iql_step(parts, self.scene.network, self.batch(batch_key, data), hyper)
        return OfflineState(*parts, key, run.update + 1), metrics

    def product(self, run: OfflineState) -> tuple[dict, dict]:
        """Its parameters and the lagging copy."""
        return run.params, run.target


@dataclass(frozen=True)
class OnlineConfig:
    """What decides the program of online learning."""

    gradient_steps: Count = 4
    """Gradient steps after every rollout."""
    online_rows: Count = 2
    """Turns of every user that is served, drawn for each of them."""
    logged_rows: Count = 128
    """Logged turns beside them."""
    kept_turns: Count = 256
    """Turns of every user that are kept for replay."""


@struct.dataclass
class IQLState:
    """Everything that changes while users are served."""

    params: dict
    target: dict
    optimiser: optax.OptState
    serving: Serving
    replay: Replay
    learn_key: PRNGKeyArray


@dataclass(frozen=True)
class IQLOnline(ServingLearner):
    """Serves users, and goes on learning from them and from the logs."""

    config: OnlineConfig = OnlineConfig()

    def init(
        self, key: PRNGKeyArray, hyper: IQLHyper, data: Data, start: tuple[tuple[dict, dict]]
    ) -> IQLState:
        """Opens B sessions; goes on from what was learnt on the logs."""
        del hyper
        ((params, target),) = start
        actor = window_actor(self.scene.network, params)
        serving = self.open(key, actor, data)
        served = jax.eval_shape(lambda: self.serve(serving, actor, data).transitions)
        replay = empty_replay(jax.eval_shape(_experience, served), self.config.kept_turns)
        return IQLState(params, target, optimiser().init(params), serving, replay, learning_key(key))

    def update(self, run: IQLState, hyper: IQLHyper, data: Data) -> tuple[IQLState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes gradient steps on replayed and logged turns."""
        actor = self.actor(run, hyper, data.hidden())
        served = self.serve(run.serving, actor, data)
        replay = run.replay.add(_experience(served.transitions))
        learn_key, steps_key = jax.random.split(run.learn_key)
        logged = data.logged
        assert logged is not None

        def step(parts: Parts, step_key: PRNGKeyArray) -> tuple[Parts, dict[str, Array]]:
            online_key, logged_key = jax.random.split(step_key)
            online = replay.sample(online_key, self.config.online_rows)
            offline = logged.sample(logged_key, self.config.logged_rows, self.scene.num_items)
            return iql_step(parts, self.scene.network, joined(online, offline), hyper)

        keys = jax.random.split(steps_key, self.config.gradient_steps)
        parts, metrics = jax.lax.scan(step, (run.params, run.target, run.optimiser), keys)
        metrics = {name: jnp.mean(values) for name, values in metrics.items()}
        metrics["reward"] = average(jnp.mean(served.transitions.reward))
        return IQLState(*parts, served.serving, replay, learn_key), metrics

    def actor(self, run: IQLState, hyper: IQLHyper, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands, on the window."""
        del hyper, data
        return window_actor(self.scene.network, run.params, greedy)

    def product(self, run: IQLState) -> tuple[dict, dict]:
        """Its parameters and the lagging copy."""
        return run.params, run.target


def _experience(transitions: Transition) -> Experience:
    extras: Any = transitions.extras
    return experience_of(transitions, extras.window, extras.statistics.log_prob)


@register("iql")
@dataclass(frozen=True)
class IQL:
    """Implicit Q-learning on logged sessions, then online."""

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from first: a stated logging policy's recorded sessions, or the offline users' own choices."""
    offline: OfflineConfig = OfflineConfig()
    """Its gradient steps on logged sessions."""
    online: OnlineConfig = OnlineConfig()
    """Its gradient steps while it serves users."""
    hyper: Annotated[IQLHyper, Flat] = field(default_factory=IQLHyper)
    """Its numbers, the same for both."""

    card: ClassVar[Card] = Card(
        "IQL", "implicit Q-learning on logged sessions, then online", OFFLINE, learns_online=True,
        paper="Kostrikov et al. 2021, arXiv 2110.06169",
        rivals=(
            Rival("bc", "initial_reward", "Does IQL start above behaviour cloning?"),
            Rival("a_ialp_ft", "final_reward", "Does IQL end above A-iALP_ft?"),
            Rival("a2c", "final_reward", "Does IQL end above A2C?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then online learning from there."""
        del study
        logged = Need.RECORDED if self.source == "recorded" else Need.LOGS
        first = Stage(
            "IQL offline",
            IQLOffline,
            self.offline,
            self.hyper,
            frozenset({logged}),
            (UNTRAINED,),
            budget=Budget.NONE,
        )
        needs = frozenset({Need.USERS, logged})
        return first, Stage("iql", IQLOnline, self.online, self.hyper, needs, (first,))
