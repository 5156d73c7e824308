"""Double Q-learning: its loss against written-down values, its exploration, and what it learns in small worlds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, NETWORK, OPTIMUM, PAYS, greedy_reward, scene, world_of
from tiny_runs import in_world, tiny_params

from ialp_jax.learning.experience import Experience
from ialp_jax.methods.learners.action_values import exploring_actor, q_loss, values_at
from ialp_jax.methods.named.dqn import DQNConfig, DQNHyper, DQNLearner
from ialp_jax.worlds.types import Observation, Situation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = DQNHyper(learning_rate=5e-3, explore_share=0.4, discount=0.9)


def rows(terminated, excluded):
    window = Observation(jnp.array([[ITEMS, 0]] * 2), jnp.array([[0.0, 1.0]] * 2))
    ones = jnp.ones(2)
    return Experience(window, limits(jnp.asarray(excluded)), jnp.array([3, 4]), 0.5 * ones, ones,
                      ones > 0, jnp.asarray(terminated), ones)  # fmt: skip


@pytest.mark.parametrize("best", [5, 6])
def test_the_target_is_the_lagging_copys_value_of_the_learners_best_item(best):
    """Worked out by hand from the network's own parts; the second row's user left."""
    params, target = tiny_params(NETWORK, 2), tiny_params(NETWORK, 2, seed=1)
    params = {**params, "bias": params["bias"].at[7].add(50.0).at[best].add(40.0)}
    batch = rows([False, True], [[0, 7], [0, 7]])  # 7 would be the best, and may not be recommended
    after = NETWORK.begin(target, batch.window_after()).features
    goal = 0.5 + 0.9 * np.asarray(values_at(NETWORK, target, after, jnp.array([best, best])))
    goal[1] = 0.5
    now = NETWORK.begin(params, batch.window).features
    expected = 0.5 * np.mean((goal - np.asarray(values_at(NETWORK, params, now, batch.action))) ** 2)
    assert float(q_loss(params, target, NETWORK, batch, HYPER)[0]) == pytest.approx(float(expected), rel=1e-4)


def test_no_gradient_flows_through_the_target():
    params, target = tiny_params(NETWORK, 2), tiny_params(NETWORK, 2, seed=1)
    slope = jax.grad(lambda other: q_loss(params, other, NETWORK, rows([False] * 2, [[0, 7]] * 2), HYPER)[0])(
        target
    )
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.0])
def test_it_explores_as_often_as_it_says_and_never_what_is_excluded(epsilon):
    users, params = 6000, tiny_params(NETWORK, 2)
    params = {**params, "bias": params["bias"].at[0].add(50.0).at[5].add(40.0)}
    seen = Observation(jnp.full((users, 2), ITEMS), jnp.zeros((users, 2)))
    situation = Situation(jnp.zeros(users, jnp.int32), seen, limits(jnp.zeros((users, 1), jnp.int32)))
    item, _ = exploring_actor(NETWORK, params, epsilon).act(jax.random.key(0), (), situation)
    counts = np.bincount(item, minlength=ITEMS)
    expected = np.r_[0, np.full(ITEMS - 1, epsilon / (ITEMS - 1))] + np.where(
        np.arange(ITEMS) == 5, 1 - epsilon, 0
    )
    assert counts[0] == 0
    np.testing.assert_allclose(counts / users, expected, atol=5 * np.sqrt(0.25 / users))


def test_exploration_falls_to_what_is_left_of_it():
    learner, data = DQNLearner(scene(10, users=4)), in_world(world_of("the same for everybody"))
    hyper = DQNHyper(explore_start=0.9, explore_end=0.1, explore_share=0.5)
    run = learner.init(jax.random.key(0), hyper, data, (tiny_params(NETWORK, 2),))
    update = jax.jit(learner.update)
    shown = []
    for _ in range(7):
        run, metrics = update(run, hyper, data)
        shown.append(float(metrics["epsilon"]))
    np.testing.assert_allclose(shown, [0.9, 0.74, 0.58, 0.42, 0.26, 0.1, 0.1], atol=1e-5)
    assert int(run.replay.added) == 28


@pytest.mark.parametrize("name", PAYS)
def test_it_comes_within_five_percent_of_the_optimum(name):
    learner = DQNLearner(scene(150), DQNConfig(gradient_steps=8, rows=2, kept_turns=128))
    reward = greedy_reward(((learner, HYPER),), 4, world_of(name), None)
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
