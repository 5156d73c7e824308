"""Discrete batch-constrained Q-learning: its choice, its losses, the tabular optimum, and what it learns from logs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tabular import BEHAVIOUR
from tabular_network import NETWORK, backed_up, experience, largest, m4_rows, table_params
from tabular_network import OPTIMUM as M4_OPTIMUM
from tiny_runs import tiny_network, tiny_params

from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.bc import CloningHyper, CloningLearner
from ialp_jax.methods.named.bcq import (
    BCQHyper,
    BCQOffline,
    bcq_loss,
    mean_squared_logit,
    model_query,
    supported_items,
)
from ialp_jax.study.logged import LoggedConfig, recorded_sessions
from ialp_jax.worlds.types import Observation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = BCQHyper(learning_rate=5e-3, discount=0.9, threshold=0.3, target_rate=0.02)


@pytest.mark.parametrize(
    ("threshold", "excluded", "item", "size"),
    [
        (0.15, 3, 2, 3),
        (0.3, 3, 1, 2),
        (0.7, 3, 0, 1),
        (1.0, 3, 0, 1),
        (5.0, 3, 0, 1),
        (0.4, 0, 1, 1),
        (0.3, 0, 2, 2),
    ],
)
def test_it_takes_the_best_of_what_the_logs_support(threshold, excluded, item, size):
    """G = (.6, .3, .1), Q = (1, 2, 3); what may not be recommended is the best of nothing."""
    params = table_params([[1, 2, 3]] * 4, advantages=np.log([[0.6, 0.3, 0.1]] * 4))
    chosen = supported_items(NETWORK, params, jnp.eye(1, 4), limits(jnp.array([[excluded]])), threshold)
    assert (int(chosen.item[0]), int(chosen.size[0])) == (item, size)


def test_blocks_of_the_catalogue_choose_what_the_whole_chooses():
    """Ten thousand items and sixty rows are more than is held at once; written out in NumPy."""
    items, rows = 10_000, 60
    network = tiny_network(items)
    params = tiny_params(network, 2, spread=1.0)
    generator = np.random.default_rng(0)
    window = Observation(
        jnp.asarray(generator.integers(items, size=(rows, 2)), jnp.int32), jnp.ones((rows, 2))
    )
    excluded = jnp.asarray(generator.integers(items, size=(rows, 5)), jnp.int32)
    assert network.head_plan(rows).implementation == "blocked"
    features = network.begin(params, window).features
    query, (vectors, bias) = network.query(params, features), network.catalogue(params)
    model = np.array(model_query(network, params, features) @ vectors.T)
    scores = np.array(query @ vectors.T + bias[None])
    np.testing.assert_allclose(
        mean_squared_logit(model_query(network, params, features), vectors), np.mean(model**2), rtol=1e-4
    )
    model[np.arange(rows)[:, None], excluded] = -np.inf
    inside = model >= model.max(axis=1, keepdims=True) + np.log(0.3) - 1e-4
    chosen = supported_items(network, params, features, limits(excluded), 0.3)
    assert np.array_equal(chosen.item, np.argmax(np.where(inside, scores, -np.inf), axis=1))
    assert np.array_equal(chosen.size, inside.sum(axis=1)) and chosen.size.max() > 1


@pytest.mark.parametrize("error", [0.5, 3.0])
def test_the_losses_are_hubers_and_the_cross_entropy(error):
    """One row that terminates: y = r."""
    params = table_params([[1, 2, 3]] * 4, values=[0.5] * 4, advantages=np.log([[0.6, 0.3, 0.1]] * 4))
    rows = experience([0], [1], [2.5 + error], [3])
    loss, metrics = bcq_loss(params, params, NETWORK, rows, HYPER)
    huber = {0.5: 0.125, 3.0: 2.5}[error]
    assert float(metrics["action_value_loss"]) == pytest.approx(huber, rel=1e-5)
    assert float(metrics["model_loss"]) == pytest.approx(-np.log(0.3), rel=1e-5)
    squared = np.mean(np.log([0.6, 0.3, 0.1]) ** 2)
    assert float(loss) == pytest.approx(huber - np.log(0.3) + 0.01 * squared, rel=1e-5)


@pytest.mark.parametrize("threshold", [0.01, 0.55, 1.0])
def test_the_gradient_is_zero_at_the_tabular_optimum(threshold):
    """M4, by iteration in NumPy: Q of the best supported action; tau near 0 is Q-learning, 1 the commonest action."""
    supported = BEHAVIOUR / BEHAVIOUR.max(axis=1, keepdims=True) >= threshold
    table = np.zeros((4, 3))
    for _ in range(500):
        table = backed_up(np.where(supported, table, -np.inf).max(axis=1))
    if threshold == 0.01:
        np.testing.assert_allclose(table.max(axis=1), M4_OPTIMUM, atol=5e-7)
    hyper = BCQHyper(discount=0.9, threshold=threshold, logit_penalty=0.0)
    params, other = (
        table_params(shifted, advantages=np.log(BEHAVIOUR)) for shifted in (table, table + np.eye(4, 3))
    )
    slope = jax.jit(jax.grad(lambda at, lagging: bcq_loss(at, lagging, NETWORK, m4_rows(), hyper)[0]))
    assert largest(slope(params, params)) < 1e-6 < 1e-2 < largest(slope(other, params))


@pytest.fixture(scope="module")
def offline():
    return BCQOffline(scene(1), OfflineConfig(updates=400, batch=64))


@pytest.mark.parametrize("name", PAYS)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(offline, name):
    world = world_of(name)
    reward = greedy_reward(((offline, HYPER),), 4, world, logged_in(world))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward


@pytest.mark.parametrize(("threshold", "beats"), [(0.3, True), (1.0, False)])
def test_it_beats_cloning_of_a_policy_that_prefers_what_does_not_pay(offline, threshold, beats):
    """What pays is logged half as often, which tau = .3 supports; tau = 1 is cloning."""
    world = world_of("the same for everybody")
    popularity = np.where(PAYS["the same for everybody"][0] > 0, 1.0, 2.0).astype(np.float32)
    logs = recorded_sessions(world, scene(1).simulator, popularity, [0, 1],
                             LoggedConfig(sessions=600, exponent=1.0, floor=0.2))  # fmt: skip
    reward = greedy_reward(((offline, HYPER.replace(threshold=threshold)),), 4, world, logs)
    if not beats:
        assert np.mean(reward) < 0.8 * OPTIMUM
        return
    cloning = CloningLearner(scene(1), OfflineConfig(updates=200, batch=64))
    cloned = greedy_reward(((cloning, CloningHyper(learning_rate=5e-3, liked=0.0)),), 4, world, logs)
    assert np.mean(reward) >= 0.95 * OPTIMUM > 0.8 * OPTIMUM > np.mean(cloned), (reward, cloned)
