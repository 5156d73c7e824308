"""Learners with a copy of their parameters that lags behind: on logged sessions, and on the users they serve.

A method gives the loss; what is drawn, stepped and served is the same for all of them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience, experience_of, joined
from ialp_jax.learning.optimiser import StepHyper, gradient_step, optimiser
from ialp_jax.learning.replay import Replay, empty_replay
from ialp_jax.learning.row_losses import follow
from ialp_jax.methods.base import UNTRAINED, Budget, Data, Stage
from ialp_jax.methods.learners.offline import OfflineLearner, OfflineState
from ialp_jax.methods.learners.serving import ServingLearner, learning_key
from ialp_jax.methods.needs import Need
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Count
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average
from ialp_jax.values import checked

Parts = tuple[dict, dict, optax.OptState]
"""Parameters, their lagging copy, the optimiser's state."""
Loss = tuple[Float[Array, ""], dict[str, Array]]


class LaggingHyper(StepHyper, Protocol):
    """The numbers of a step."""

    @property
    def target_rate(self) -> Any:
        """Share by which the lagging copy follows in every step."""


class LaggingLoss:
    """What a method gives: a loss of rows, with everything it needs at hand.

    Attributes:
        draws_by_row: whether it draws something for every row. Replayed and logged rows of two devices stand in another
            order than those of one, so that other rows get a draw: what they leave is then equal in distribution alone.
    """

    draws_by_row: ClassVar[bool] = False

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> Loss:
        """(loss, metrics) of rows [R] under parameters and their lagging copy."""
        raise NotImplementedError

    def step(
        self, parts: Parts, network: Network, rows: Experience, hyper: LaggingHyper, key: PRNGKeyArray
    ) -> tuple[Parts, dict[str, Array]]:
        """One gradient step."""
        params, target, state = parts
        slope = jax.grad(self.loss, has_aux=True)
        gradients, metrics = average(slope(params, target, network, rows, hyper, key))
        params, state, told = gradient_step(params, state, gradients, hyper)
        return (params, follow(target, params, hyper.target_rate), state), metrics | told


@dataclass(frozen=True)
class LaggingOffline(OfflineLearner, LaggingLoss):
    """Gradient steps on logged sessions."""

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[dict]) -> OfflineState:
        """Starts from the parameters in `start`."""
        del hyper, data
        return OfflineState(start[0], start[0], optimiser().init(start[0]), key, jnp.int32(0))

    def update(self, run: OfflineState, hyper: Any, data: Data) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        key, batch_key, loss_key = jax.random.split(run.key, 3)
        parts = (run.params, run.target, run.optimiser)
        parts, metrics = self.step(parts, self.scene.network, self.batch(batch_key, data), hyper, loss_key)
        return OfflineState(*parts, key, run.update + 1), metrics

    def product(self, run: OfflineState) -> tuple[dict, dict]:
        """Its parameters and the lagging copy."""
        return run.params, run.target


@dataclass(frozen=True)
@checked
class ReplayConfig:
    """What decides the program of online learning."""

    gradient_steps: Count = 4
    """Gradient steps after every rollout."""
    online_rows: Count = 2
    """Turns of every user that is served, drawn for each of them."""
    logged_rows: Count = 128
    """Logged turns beside them."""
    kept_turns: Count = 256
    """Turns of every user that are kept for replay."""


@dataclass(frozen=True)
@checked
class MemoryConfig:
    """What decides the program of a learner that replays its own turns and nothing else."""

    gradient_steps: Count = 4
    """Gradient steps after every rollout."""
    rows: Count = 4
    """Replayed turns of every user in each of them."""
    kept_turns: Count = 512
    """Turns of every user that are kept for replay."""


@struct.dataclass
class LaggingState:
    """Everything that changes while users are served."""

    params: dict
    target: dict
    optimiser: optax.OptState
    serving: Serving
    replay: Replay
    learn_key: PRNGKeyArray


@dataclass(frozen=True)
class ReplayLearner(ServingLearner, LaggingLoss):
    """Serves users, keeps what it did, and takes gradient steps on what is kept.

    Attributes:
        config: has `gradient_steps` after every rollout and `kept_turns` of every user; `rows` where it learns from its own
            turns alone.
    """

    config: Any = None

    def experience(self, transitions: Transition) -> Experience:
        """What is kept of a rollout: here of one by `window_actor`, with the probabilities it drew by."""
        extras: Any = transitions.extras
        return experience_of(transitions, extras.window, extras.statistics.log_prob)

    def drawn(self, key: PRNGKeyArray, replay: Replay, data: Data) -> tuple[Experience, PRNGKeyArray]:
        """Rows of one gradient step, and the key of its loss: here replayed turns, for a loss that draws nothing."""
        del data
        return replay.sample(key, self.config.rows), key

    def told(self, transitions: Transition) -> dict[str, Array]:
        """Metrics of a rollout beside its reward: here none."""
        del transitions
        return {}

    def noted(self, run: Any, transitions: Transition, data: Data) -> Any:
        """The run with what else a method keeps of a rollout: here nothing."""
        del transitions, data
        return run

    def actor(self, run: LaggingState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy that serves."""
        raise NotImplementedError

    def begin(self, key: PRNGKeyArray, params: dict, target: dict, actor: Actor, data: Data) -> LaggingState:
        """Opens B sessions with an empty memory."""
        serving = self.open(key, actor, data)
        served = jax.eval_shape(lambda: self.serve(serving, actor, data).transitions)
        replay = empty_replay(jax.eval_shape(self.experience, served), self.config.kept_turns)
        return LaggingState(params, target, optimiser().init(params), serving, replay, learning_key(key))

    def update(self, run: LaggingState, hyper: Any, data: Data) -> tuple[LaggingState, dict[str, Array]]:
        """Serves `rollout` turns to every user, then takes gradient steps."""
        served = self.serve(run.serving, self.actor(run, hyper, data.hidden()), data)
        replay = run.replay.add(self.experience(served.transitions))
        learn_key, steps_key = jax.random.split(run.learn_key)

        def step(parts: Parts, step_key: PRNGKeyArray) -> tuple[Parts, dict[str, Array]]:
            rows, loss_key = self.drawn(step_key, replay, data)
            return self.step(parts, self.scene.network, rows, hyper, loss_key)

        keys = jax.random.split(steps_key, self.config.gradient_steps)
        parts, metrics = jax.lax.scan(step, (run.params, run.target, run.optimiser), keys)
        metrics = {name: jnp.mean(values) for name, values in metrics.items()}
        metrics["reward"] = average(jnp.mean(served.transitions.reward))
        metrics |= average(self.told(served.transitions))
        params, target, state = parts
        run = self.noted(run, served.transitions, data)
        return run.replace(  # type: ignore[attr-defined]
            params=params, target=target, optimiser=state, serving=served.serving, replay=replay, learn_key=learn_key
        ), metrics  # fmt: skip


@dataclass(frozen=True)
class MixedReplayLearner(ReplayLearner):
    """One whose every gradient step reads logged turns beside its own."""

    config: ReplayConfig = ReplayConfig()

    def drawn(self, key: PRNGKeyArray, replay: Replay, data: Data) -> tuple[Experience, PRNGKeyArray]:
        """Replayed and logged turns, and the key of the loss."""
        assert data.logged is not None
        online_key, logged_key, loss_key = jax.random.split(key, 3)
        online = replay.sample(online_key, self.config.online_rows)
        offline = data.logged.sample(logged_key, self.config.logged_rows, self.scene.num_items)
        return joined(online, offline), loss_key


@dataclass(frozen=True)
class LaggingOnline(MixedReplayLearner):
    """Serves users by the policy, and goes on learning from them and from the logs."""

    def init(
        self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[tuple[dict, dict]]
    ) -> LaggingState:
        """Opens B sessions; goes on from what was learnt on the logs."""
        del hyper
        ((params, target),) = start
        return self.begin(key, params, target, window_actor(self.scene.network, params), data)

    def actor(self, run: LaggingState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands, on the window."""
        del hyper, data
        return window_actor(self.scene.network, run.params, greedy)

    def product(self, run: LaggingState) -> tuple[dict, dict]:
        """Its parameters and the lagging copy."""
        return run.params, run.target


def stages_from_logs(
    name: str, title: str, learners: tuple[type[LaggingOffline], type[LaggingOnline]], options: Any
) -> tuple[Stage, Stage]:
    """Gradient steps on logged sessions, then online learning from there.

    Args:
        name: of the method, and of its last stage.
        title: of the first stage.
        learners: of the two.
        options: of the method: `source` ("recorded" or "logs"), `offline`, `online` and `hyper`.
    """
    logged = Need.RECORDED if options.source == "recorded" else Need.LOGS
    first = Stage(
        title,
        learners[0],
        options.offline,
        options.hyper,
        frozenset({logged}),
        (UNTRAINED,),
        budget=Budget.NONE,
    )
    return first, Stage(
        name, learners[1], options.online, options.hyper, frozenset({Need.USERS, logged}), (first,)
    )
