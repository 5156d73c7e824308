"""RL with prior data: its pair of critics and their mean, what they read, the soft optimum, and what it learns from few logs."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_rows import p_value
from small_optima import NETWORK as SMALL
from small_optima import OPTIMUM, greedy_reward, logged_in, scene, world_of
from tabular_network import NETWORK, experience, largest, m4_rows, soft_optimum, table_params
from tiny_runs import tiny_params

from ialp_jax.artifacts import InputError
from ialp_jax.learning.row_losses import window_features
from ialp_jax.methods.base import Data
from ialp_jax.methods.named.rlpd import (
    RLPDConfig,
    RLPDHyper,
    RLPDLearner,
    drawn_critics,
    features_side_by_side,
    normalised_features,
    rlpd_loss,
)
from ialp_jax.worlds.types import Observation

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = RLPDHyper(learning_rate=5e-3, discount=0.9, entropy_share=0.5, target_rate=0.02)
CONFIG = RLPDConfig(gradient_steps=4, online_rows=2, logged_rows=96, kept_turns=64, critics=3)
POLICY = np.array([[0.2, 0.3, 0.5]] * 4)


def parts(policy, tables, temperature=0.2):
    """Parameters by tables [4, 3]: a policy and the values of critics."""
    critics = {f"critic_{place}": table_params(table) for place, table in enumerate(tables)}
    start = jnp.log(jnp.float32(temperature))
    return {"actor": table_params(np.log(policy)), "log_temperature": start, **critics}


def losses(params, rows, key=0, hyper=HYPER):
    return rlpd_loss(params, params, NETWORK, rows, hyper, jax.random.key(key), features_side_by_side)


def test_the_soft_values_golden_number_is_the_goal_of_every_pair():
    """pi = (.2, .3, .5), Q = (1, 2, 3), alpha = .2; where all critics agree, any two do. What terminates has none."""
    params = parts(POLICY, [np.array([[1.0, 2.0, 3.0]] * 4)] * 3)
    for after, later in ((1, 2.505931), (3, 0.0)):
        rows = experience([0], [0], [0.25], [after])
        loss = float(losses(params, rows)[1]["action_value_loss"])
        assert loss == pytest.approx(1.5 * (0.25 + 0.9 * later - 1.0) ** 2, rel=1e-5)
    assert float(losses(params, rows)[1]["policy_loss"]) == pytest.approx(-2.505931, abs=1e-6)


def test_the_policys_q_is_the_mean_of_all_and_what_is_excluded_is_in_no_sum():
    tables = [np.array([[low, 2.0, 90.0]] * 4) for low in (1.0, 2.0, 6.0)]
    rows = experience([0], [0], [0.0], [3], excluded=[[2]])
    entropy = -0.4 * np.log(0.4) - 0.6 * np.log(0.6)
    loss = float(losses(parts(POLICY, tables), rows)[1]["policy_loss"])
    assert loss == pytest.approx(-(0.4 * 3.0 + 0.6 * 2.0 + 0.2 * entropy), rel=1e-5)


def test_the_goal_is_the_lower_of_a_pair_that_is_drawn_anew():
    """Of three critics with values 1, 2 and 3 the lower of two is 1 in two pairs of three; all three pairs are as frequent."""
    critics = [table_params(np.full((4, 3), value)) for value in (1.0, 2.0, 3.0)]

    def pair(key):
        return jnp.sort(jnp.stack([one["query_head"]["kernel"][0, 0] for one in drawn_critics(key, critics)]))

    pairs = np.asarray(jax.jit(jax.vmap(pair))(jax.random.split(jax.random.key(0), 3000)))
    names = np.searchsorted([12.0, 13.0, 23.0], 10 * pairs[:, 0] + pairs[:, 1])
    assert np.array_equal(pairs[names == 0][0], [1.0, 2.0]) and p_value(names, np.ones(3) / 3) > 1e-3
    params = parts(POLICY, [np.full((4, 3), value) for value in (1.0, 2.0, 3.0)], temperature=1e-9)
    rows, found = experience([0], [0], [0.0], [1]), set()
    loss = jax.jit(lambda key: rlpd_loss(params, params, NETWORK, rows, HYPER, key, features_side_by_side)[1])
    for key in jax.random.split(jax.random.key(1), 20):
        found.add(round(float(loss(key)["action_value_loss"]), 4))
    expected = {round(0.5 * sum((0.9 * low - value) ** 2 for value in (1, 2, 3)), 4) for low in (1, 2)}
    assert found == expected


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_gradient_is_zero_at_the_soft_optimum(temperature):
    """M4, as Soft Actor-Critic's; but for the temperature's own."""
    values, policy = soft_optimum(temperature)
    best = parts(policy, [values] * 3, temperature)
    other = parts(policy[:, ::-1], [values + 0.5] * 3, temperature)
    slope = jax.jit(jax.grad(lambda at, lagging: rlpd_loss(
        at, lagging, NETWORK, m4_rows(), HYPER, jax.random.key(0), features_side_by_side)[0]))  # fmt: skip
    found, elsewhere = slope(best, best), slope(other, best)
    for name in ("actor", "critic_0", "critic_1", "critic_2"):
        assert largest(found[name]) < 5e-5 < 1e-2 < largest(elsewhere[name]), name


def test_what_the_critics_read_has_mean_zero_and_variance_one():
    """Unlike the encoder's features."""
    params = tiny_params(SMALL, 2)
    window = Observation(jnp.array([[9, 0], [3, 1]]), jnp.array([[0.0, 1.0]] * 2))
    others = [params, tiny_params(SMALL, 2, seed=1)]
    for one, read, plain in zip(
        others,
        map(np.asarray, normalised_features(SMALL, others, window)),
        map(np.asarray, features_side_by_side(SMALL, others, window)),
        strict=True,
    ):
        np.testing.assert_allclose(plain, window_features(SMALL, one, window), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(read.mean(axis=1), 0.0, atol=1e-6)
        np.testing.assert_allclose(read.var(axis=1), 1.0, rtol=2e-3)
        assert np.abs(plain.mean(axis=1)).min() > 1e-3


def test_a_pair_needs_two_critics():
    with pytest.raises(InputError, match="critics"):
        RLPDConfig(critics=1)


@pytest.fixture(scope="module")
def few():
    """Twelve logged sessions of the world that depends on the history."""
    world = world_of("by the history")
    return world, logged_in(world, sessions=12)


def test_half_of_every_batch_is_logged_and_its_critics_start_apart(few):
    learner, data = RLPDLearner(scene(1), CONFIG), Data(world=few[0], logged=few[1])
    start = tiny_params(SMALL, 2)
    run = jax.jit(lambda key: learner.init(key, HYPER, data, (start,)))(jax.random.key(0))
    full = run.replay.replace(added=jnp.int32(8))
    rows, _ = learner.drawn(jax.random.key(1), full, data)
    logged = np.any(np.asarray(rows.window.items) > 0, axis=1)  # the empty memory's windows hold zeros
    assert logged.tolist() == [False] * 96 + [True] * 96
    assert learner.critics == ("critic_0", "critic_1", "critic_2")
    first, second = (run.params[name]["query_head"]["kernel"] for name in learner.critics[:2])
    assert not np.array_equal(first, second)
    assert all(np.array_equal(run.params[name]["items"], start["items"]) for name in learner.critics)


def test_from_scratch_and_few_logs_it_comes_within_five_percent_of_the_optimum(few):
    """Greedily: the policy itself keeps its entropy."""
    learner = RLPDLearner(scene(80), replace(CONFIG, logged_rows=32))
    reward = greedy_reward(((learner, HYPER),), 3, *few)
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
