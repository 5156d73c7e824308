"""A policy that learns by a reward which judgements of the preference table have taught."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.asking_judge import Questions, judged
from ialp_jax.methods.learners.judged_rewards import noting_windows, reward_chances, seen_in
from ialp_jax.methods.learners.serving import ServingLearner, learning_key
from ialp_jax.policies.actor import Flag, policy_actor
from ialp_jax.ranges import Rate, Weight
from ialp_jax.recommenders.comparisons import Comparisons, fit_rewards
from ialp_jax.recommenders.feedback_ensemble import pair_rows
from ialp_jax.recommenders.fold_in import tastes
from ialp_jax.serving.rollout import Served, Serving
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average
from ialp_jax.worlds.types import Observation

FIRST_STEPS = 40
"""Steps of the first fit of a reward."""


@struct.dataclass
class RewardHyper:
    """Numbers of the reward."""

    prior_variance: Rate = 1.0
    """Variance of every weight of the reward before anything was asked; its mean is 0."""
    judge_temperature: Weight = 0.0
    """T: of two items the first is preferred with probability sigmoid((L_first - L_second) / T); 0 for the higher score."""


@struct.dataclass
class RewardedHyper(GradientHyper, RewardHyper):
    """Numbers of the first policy and of the reward it learns by."""


@struct.dataclass
class Reward:
    """A Bradley-Terry reward, and what it was learnt from."""

    theta: Float[Array, "1 d"]
    asked: Comparisons


def first_reward(key: PRNGKeyArray, hyper: RewardHyper, data: Data, judgements: int, more: int) -> Reward:
    """Learnt from so many judgements, about users as their sessions open; with room for more pairs."""
    assert data.prior is not None, "its judge is the preference table"
    world, factors = data.users_world, data.fitted.factors
    user_key, first_key, other_key, judge_key = jax.random.split(key, 4)
    users = jax.random.choice(user_key, world.session_users, (judgements,))
    items = factors.item.shape[0]
    first = jax.random.randint(first_key, (judgements,), 0, items, jnp.int32)
    second = (first + jax.random.randint(other_key, (judgements,), 1, max(items, 2), jnp.int32)) % items
    taste = tastes(factors, Observation(world.initial_items[users], world.initial_feedback[users]))
    difference = pair_rows(factors, taste, first) - pair_rows(factors, taste, second)
    asked = Questions(data.fitted.row(users, world), first, second, difference, jnp.zeros(judgements))
    answer = judged(judge_key, asked, data.prior, hyper.judge_temperature)
    room, width = judgements + more, difference.shape[1]
    bank = Comparisons(jnp.zeros((room, width)), jnp.full(room, 0.5), jnp.ones((1, room)), jnp.int32(0))
    bank = bank.add(difference, answer, jnp.ones(judgements, bool))
    nothing = jnp.zeros((1, width))
    return Reward(fit_rewards(nothing, nothing, bank, hyper.prior_variance, FIRST_STEPS), bank)


@struct.dataclass
class RewardedState:
    """Everything that changes, and the reward, which does not."""

    params: dict
    optimiser: optax.OptState
    serving: Serving
    theta: Float[Array, "1 d"]


@dataclass(frozen=True)
class RewardedLearner(ServingLearner):
    """Advantage actor-critic in the logs' world by a learnt reward; `config` are the judgements that this is learnt from.

    With a reward among what it starts from it needs none.
    """

    config: int = 1000

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[Any, ...]) -> RewardedState:
        """Opens B sessions; the policy learns from the parameters in `start`."""
        params, *given = start
        reward = given[0] if given else first_reward(learning_key(key), hyper, data, self.config, 0)
        serving = self.open(key, noting_windows(self.scene.network, params), data)
        return RewardedState(params, optimiser().init(params), serving, reward.theta)

    def update(self, run: RewardedState, hyper: Any, data: Data) -> tuple[RewardedState, dict[str, Array]]:
        """Serves `rollout` turns to every imagined user, then takes one gradient step."""
        network = self.scene.network

        def loss(params: dict) -> tuple[Array, tuple[Served, dict[str, Array]]]:
            served = self.serve(run.serving, noting_windows(network, params), data)
            now = served.transitions
            said = reward_chances(run.theta, data.fitted.factors, *seen_in(now, data.fitted.factors))
            paid = jnp.bool_(True) if self.scene.simulator.config.pay_on_departure else ~now.terminated
            now = now.replace(reward=jnp.where(paid, said.reshape(now.action.shape), 0.0))  # type: ignore[attr-defined]
            value, (metrics, _) = actor_critic_loss(
                params, network, now.recall, now.reached, now, now.extras.statistics, None, hyper
            )
            return value, (served, metrics)

        gradients, (served, metrics) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return RewardedState(params, state, served.serving, run.theta), metrics | told

    def actor(self, run: Any, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands."""
        del hyper, data
        return policy_actor(self.scene.network, run.params, greedy)

    def product(self, run: Any) -> Any:
        """Its parameters."""
        return run.params
