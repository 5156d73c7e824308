"""Action values read off the policy head: Q at an item, double Q-learning's goal, and serving by the best item.

Q(s, a) = V(s) + <W h, e_a> + b_a: the policy head's scores are the action values, so its tiles give sums and maxima over them.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.critics import one_step_target
from ialp_jax.learning.experience import Experience, experience_of
from ialp_jax.learning.row_losses import window_features
from ialp_jax.learning.watched import apart, value_scale
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.lagging import LaggingOffline, LaggingOnline, LaggingState, ReplayConfig
from ialp_jax.methods.learners.offline import OfflineState
from ialp_jax.policies.actor import Flag, item_distribution
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import ItemDistribution, catalogue_distribution
from ialp_jax.policies.encoders import Recall
from ialp_jax.policies.fixed import RandomPolicy
from ialp_jax.ranges import Share
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import draw, user_keys
from ialp_jax.values import checked
from ialp_jax.worlds.types import Limits, Observation, Situation


def values_at(
    network: Network, params: dict, features: Float[Array, "R h"], items: Int[Array, "R"]
) -> Float[Array, "R"]:
    """Q(s, a) at one item per row."""
    query = network.query(params, features)
    embeddings, bias = network.catalogue(params)
    return network.value(params, features) + jnp.sum(query * embeddings[items], axis=1) + bias[items]


def best_items(network: Network, params: dict, window: Observation, limits: Limits) -> Int[Array, "R"]:
    """The item of the highest Q among those that may be recommended, for windows [R, H]."""
    query = network.query(params, window_features(network, params, window))
    plan = network.head_plan(query.shape[0])
    distribution: ItemDistribution = catalogue_distribution(plan, query, *network.catalogue(params), limits)
    best: Int[Array, "R"] = distribution.mode()
    return best


def double_q_goal(
    params: dict, target: dict, network: Network, rows: Experience, discount: Float[Array, ""] | float
) -> Float[Array, "R"]:
    """r + gamma (1 - terminated) Q^(s', argmax_a Q(s', a)), without gradients (arXiv 1509.06461, eq. 4).

    The best item of s' is that of the learning parameters among those that may be recommended there, its value the
    lagging copy's. Where nothing is left to recommend, the session is over or about to be cut.
    """
    after = rows.window_after()
    best = jax.lax.stop_gradient(best_items(network, params, after, rows.limits_after()))
    next_value = values_at(network, target, window_features(network, target, after), best)
    return one_step_target(rows.reward, jax.lax.stop_gradient(next_value), rows.terminated, discount)


def double_q_error(
    params: dict,
    target: dict,
    network: Network,
    features: Float[Array, "R h"],
    rows: Experience,
    discount: Float[Array, ""] | float,
) -> tuple[Float[Array, ""], Float[Array, "R"]]:
    """mean((y - Q(s, a))^2) / 2 with y of `double_q_goal`, and Q(s, a); `features` are those of the rows' windows."""
    action_value = values_at(network, params, features, rows.action)
    goal = double_q_goal(params, target, network, rows, discount)
    return 0.5 * jnp.mean((goal - action_value) ** 2), action_value


def q_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: Any
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Double Q-learning on rows [R]; (`double_q_error`, metrics). `hyper` has `discount`."""
    features = window_features(network, params, rows.window)
    loss, action_value = double_q_error(params, target, network, features, rows, hyper.discount)
    told = value_scale(values_at(network, params, apart(features), rows.action), rows.reward, hyper.discount)
    return loss, {"loss": loss, "action_value": jnp.mean(action_value), **told}


def exploring_actor(network: Network, params: dict, epsilon: Float[Array, ""] | float) -> Actor:
    """The item of the highest Q, or with probability epsilon any permitted one; keeps the window it acted on."""
    anything = RandomPolicy(network.module.num_items)

    def act(key: PRNGKeyArray, recall: Any, situation: Situation) -> tuple[Array, Observation]:
        del recall
        explore_key, item_key = jax.random.split(key)
        features = window_features(network, params, situation.observation)
        best = item_distribution(network, params, Recall(features), situation).mode()
        users = best.shape[0]
        uniform = jax.vmap(anything.act)(user_keys(item_key, users), situation)
        explores = draw(jax.random.uniform, explore_key, (users,)) < epsilon
        return jnp.where(explores, uniform, best), situation.observation

    return Actor(lambda observation: (), lambda *interaction: (), act)


@dataclass(frozen=True)
@checked
class ExploringReplayConfig(ReplayConfig):
    """What decides the program of online learning."""

    explore: Share = 0.02
    """epsilon: share of recommendations that are uniform over what is permitted."""


@dataclass(frozen=True)
class GreedyOffline(LaggingOffline):
    """Gradient steps on logged sessions, of a method whose policy is the item of the highest Q."""

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The item of the highest Q; it is its own greedy version."""
        del hyper, data, greedy
        return exploring_actor(self.scene.network, run.params, 0.0)


@dataclass(frozen=True)
class GreedyOnline(LaggingOnline):
    """Serves users epsilon-greedily, and goes on learning from them and from the logs."""

    config: ExploringReplayConfig = ExploringReplayConfig()

    def init(
        self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[tuple[dict, dict]]
    ) -> LaggingState:
        """Opens B sessions; goes on from what was learnt on the logs."""
        del hyper
        ((params, target),) = start
        return self.begin(key, params, target, exploring_actor(self.scene.network, params, 0.0), data)

    def experience(self, transitions: Transition) -> Experience:
        """Without propensities, which nothing here reads."""
        return experience_of(transitions, transitions.extras, jnp.zeros(transitions.reward.shape))

    def actor(self, run: LaggingState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """As it explores, or the item of the highest Q."""
        del hyper, data
        epsilon = jnp.where(greedy, 0.0, self.config.explore)
        return exploring_actor(self.scene.network, run.params, epsilon)
