"""Sim-OPRL: rewards of comparisons, which questions are asked, and what few of them teach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import random_offline_factors
from small_optima import ITEMS, NETWORK, OPTIMUM, PAYS, logged_in, scene, world_of
from tiny_runs import tiny_network, tiny_scene

from ialp_jax.artifacts import InputError
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.asking_judge import (
    Questions,
    affordable,
    judged,
    most_disputed,
    most_disputed_pair,
    returns_of,
)
from ialp_jax.methods.learners.judged_rewards import OwnedFactors, imagined_by, reward_chances
from ialp_jax.methods.learners.many_heads import headed, many_heads, with_head
from ialp_jax.methods.named.sim_oprl import QueryConfig, QueryHyper, QueryLearner, planning_rewards
from ialp_jax.recommenders.comparisons import Comparisons, comparison_loss, fit_rewards, no_comparisons
from ialp_jax.recommenders.feedback_ensemble import member_feedback, pair_rows
from ialp_jax.recommenders.fold_in import tastes
from ialp_jax.serving.play import play
from ialp_jax.worlds.types import Observation
from ialp_jax.worlds.world import DenseRatings

pytestmark = pytest.mark.usefixtures("batched_keys")
FACTORS = random_offline_factors(ITEMS, 3)
GENERATOR = np.random.default_rng(0)
TASTE = jnp.asarray(GENERATOR.normal(size=(6, 3)), jnp.float32)


def asked_of(difference, answer, members=1):
    """A bank of these answers, all of weight 1."""
    difference, answer = jnp.asarray(difference, jnp.float32), jnp.asarray(answer, jnp.float32)
    return Comparisons(difference, answer, jnp.ones((members, answer.size)), jnp.int32(answer.size))


def test_two_items_of_whom_73_of_100_prefer_the_first():
    """The maximum likelihood is ln(73 / 27)."""
    bank = asked_of(np.ones((100, 1)), [1.0] * 73 + [0.0] * 27)
    start = jnp.zeros((1, 1))
    fitted = fit_rewards(start, start, bank, 1e9, steps=12)
    assert float(fitted[0, 0]) == pytest.approx(0.994623, abs=1e-5)
    halves = asked_of(np.ones((4, 1)), [0.5] * 4)
    assert float(fit_rewards(start, start, halves, 1e9)[0, 0]) == 0.0  # neither is better


def test_a_constant_of_a_state_changes_no_loss():
    """Comparisons are of differences; the reward of an item against the mean item does not move with it either."""
    items = jnp.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 0], [1, 2]])
    first, second = (pair_rows(FACTORS, TASTE, items[:, side]) for side in (0, 1))
    theta, answer = jnp.asarray(GENERATOR.normal(size=9), jnp.float32), jnp.array([1.0, 0, 1, 1, 0, 0.5])
    loss = comparison_loss(theta, first - second, answer, jnp.ones(6))
    moved = theta.at[8].add(3.0)  # of the constant feature
    assert float(comparison_loss(moved, first - second, answer, jnp.ones(6))) == pytest.approx(float(loss))
    margin = np.asarray((first - second) @ theta)
    chance = 1 / (1 + np.exp(-margin))
    expected = -np.sum(np.asarray(answer) * np.log(chance) + (1 - np.asarray(answer)) * np.log(1 - chance))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    both = reward_chances(jnp.stack([theta, moved]), FACTORS, TASTE, items[:, 0])
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)


def test_fits_stand_where_the_slope_is_zero():
    bank = no_comparisons(jax.random.key(0), 40, 9, 3)
    rows = jnp.asarray(GENERATOR.normal(size=(30, 9)), jnp.float32)
    bank = bank.add(rows, jnp.asarray(GENERATOR.integers(0, 2, 30), jnp.float32), jnp.arange(30) % 3 != 0)
    assert int(bank.count) == 20 and not np.any(bank.difference[20:])
    before = jnp.asarray(GENERATOR.normal(size=(3, 9)), jnp.float32)
    theta = fit_rewards(before, before, bank, 2.0, steps=60)

    def objective(theta, mean, weight):
        error = comparison_loss(theta, bank.difference[:20], bank.answer[:20], weight[:20])
        return error + jnp.sum((theta - mean) ** 2) / 4.0

    slope = jax.vmap(jax.grad(objective))(theta, before, bank.weight)
    np.testing.assert_allclose(slope, 0.0, atol=1e-3)
    assert float(jnp.abs(theta[0] - theta[1]).max()) > 0.1


def test_a_full_bank_keeps_what_it_has():
    bank = no_comparisons(jax.random.key(0), 3, 1, 2)
    bank = bank.add(jnp.array([[1.0], [2.0]]), jnp.array([1.0, 0.0]), jnp.array([True, True]))
    bank = bank.add(jnp.array([[3.0], [4.0]]), jnp.array([1.0, 0.0]), jnp.array([True, True]))
    assert bank.difference[:, 0].tolist() == [1.0, 2.0, 3.0] and int(bank.count) == 3


def test_rewards_that_disagree_at_one_item_select_the_policies_that_differ_there():
    """Policies 0 and 2 play item 0 and 1, policy 1 plays both evenly; only item 4 is in dispute, and policy 3 plays it."""
    rewards = jnp.array([[0.5, 0.2, 0.1, 0.4, 0.0], [0.5, 0.2, 0.1, 0.4, 1.0]])
    played = jnp.array([[1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0.5, 0, 0.5]])
    pair = {int(place) for place in most_disputed_pair(rewards @ played.T)}
    assert 3 in pair
    theta = jnp.array([[0.0, 1.0], [2.0, 1.0]])  # in dispute is the first feature alone
    difference = jnp.array([[0.0, 5.0], [0.5, 0.0], [-3.0, 0.0], [9.0, 9.0]])
    users = jnp.arange(4, dtype=jnp.int32)
    chosen = most_disputed(theta, users, users, jnp.array([1, 2, 3, 3]), difference, 2)
    assert chosen.user.tolist() == [2, 1] and chosen.spread.tolist() == [
        6.0,
        1.0,
    ]  # the last one's items are the same


def test_returns_are_of_the_users_that_each_policy_served():
    rewards = jnp.asarray(GENERATOR.random((2, 12)), jnp.float32)  # four users for three turns
    head = jnp.tile(jnp.array([0, 1, 2, 0]), 3)
    sums, served = returns_of(rewards, head, 3, 3)
    assert served.tolist() == [2.0, 1.0, 1.0]
    expected = rewards[1].reshape(3, 4)[:, 2].sum()
    assert float(sums[1, 2]) == pytest.approx(float(expected))


def test_one_question_of_the_disputed_pair_finds_the_best_policy_and_questions_elsewhere_do_not():
    """Two rewards rank two policies oppositely; the model is perfect. Policies play item 0 or item 1, the truth prefers 1."""
    before = jnp.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    feature = jnp.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    returns = before @ feature[:2].T
    assert [int(place) for place in most_disputed_pair(returns)] == [0, 1]

    def preferred(first, second, answer):
        bank = asked_of((feature[first] - feature[second])[None], [answer], 2)
        fitted = fit_rewards(before, before, bank, 10.0, steps=20)
        return jnp.argmax(fitted @ feature[:2].T, axis=1).tolist()

    assert preferred(0, 1, 0.0) == [1, 1]
    assert preferred(2, 3, 0.0) == preferred(2, 3, 1.0) == [0, 1]


def test_the_judge_prefers_the_higher_score_and_neither_of_equals():
    table = jnp.array([[0.1, 0.9, 0.9], [0.6, 0.2, 0.2]])
    asked = Questions(jnp.array([0, 0, 1]), jnp.array([0, 1, 0]), jnp.array([1, 2, 2]), jnp.zeros((3, 1)),
                      jnp.array([2.0, 1.0, -1.0]))  # fmt: skip
    assert judged(jax.random.key(0), asked, table, 0.0).tolist() == [0.0, 0.5, 1.0]
    keys = jax.random.split(jax.random.key(0), 500)
    drawn = jax.vmap(lambda key: judged(key, asked, table, 0.4))(keys)
    np.testing.assert_allclose(drawn.mean(axis=0), jax.nn.sigmoid(jnp.array([-2.0, 0.0, 1.0])), atol=0.06)
    assert affordable(asked, jnp.int32(6), 7).tolist() == [True, False, False]
    assert affordable(asked, jnp.int32(0), 7).tolist() == [
        True,
        True,
        False,
    ]  # nothing is asked of equal items


def test_what_models_disagree_on_is_not_recommended_at_a_high_price():
    """However much the rewards like it; the reward that is served also pays where these disagree."""
    chances = jnp.array([[0.9, 0.5, 0.4], [0.7, 0.5, 0.4]])
    unsure = jnp.array([0.3, 0.0, 0.0])
    rewards = planning_rewards(chances, unsure, QueryHyper(feedback_penalty=0.5, reward_penalty=0.25))
    np.testing.assert_allclose(rewards[:, 0], [0.75, 0.55, 0.8 - 0.05 - 0.15], rtol=1e-5)
    assert (
        jnp.argmax(planning_rewards(chances, unsure, QueryHyper(feedback_penalty=0.0)), axis=1).tolist()
        == [0] * 3
    )
    high = planning_rewards(chances, unsure, QueryHyper(feedback_penalty=1e3))
    assert jnp.argmax(high, axis=1).tolist() == [1] * 3


def test_imagined_users_answer_as_a_model_predicts():
    world = world_of("by the history").replace(rating_low=jnp.float32(1.0), rating_high=jnp.float32(5.0))
    weights = jnp.asarray(0.2 * GENERATOR.normal(size=9), jnp.float32).at[8].set(0.5)
    users = tastes(FACTORS, Observation(world.initial_items, world.initial_feedback))
    said = imagined_by(world, FACTORS, weights, users).ratings
    everything = jnp.tile(jnp.arange(ITEMS, dtype=jnp.int32)[None], (2, 1))
    expected = 1.0 + 4.0 * member_feedback(FACTORS, weights[None], users, everything)[0]
    np.testing.assert_allclose(jax.vmap(said.of_all)(jnp.arange(2)), expected, rtol=1e-4)


def test_each_row_is_its_own_policys():
    network = headed(NETWORK, 3, 4)
    params = many_heads(jax.random.key(0), NETWORK, NETWORK.init(jax.random.key(1), 2), 3, 2)
    features = jnp.asarray(GENERATOR.normal(size=(8, 14)), jnp.float32)
    for name in ("query", "value"):
        said = getattr(network, name)(params, features)
        for row in range(8):
            plain = getattr(NETWORK, name)(with_head(params, row % 4 % 3), features[row : row + 1])
            np.testing.assert_allclose(said[row], plain[0], rtol=1e-5)


def test_few_judgements_find_what_the_table_prefers():
    """Users' answers are all the same; only the judge knows which items are worth something. Greedily most that is served is."""
    name = "the same for everybody"
    worth = jnp.asarray(PAYS[name], jnp.float32)
    silent = world_of(name).replace(ratings=DenseRatings(jnp.full_like(worth, 0.5)))
    fitted = OwnedFactors(random_offline_factors(ITEMS, 8), jnp.arange(2, dtype=jnp.int32))  # of any ranking
    data = Data(world=silent, logged=logged_in(silent, 100), prior=worth, fitted=fitted)
    learner = QueryLearner(scene(150), QueryConfig(budget=200, rewards=2, members=2))
    hyper = QueryHyper(learning_rate=1e-2, discount=0.5, prior_variance=10.0)

    @jax.jit
    def earned(key):
        start_key, run_key, play_key = jax.random.split(key, 3)
        run = learner.init(run_key, hyper, data, (NETWORK.init(start_key, 2),))
        run, metrics = jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=150)
        actor = learner.actor(run, hyper, data.hidden(), True)
        return jnp.mean(worth[0][play(play_key, actor, learner.scene.simulator, silent, 100).items]), metrics

    reward, metrics = jax.vmap(earned)(jax.random.split(jax.random.key(0), 2))
    bought = np.asarray(metrics["judgements"])
    assert np.all(np.diff(bought, axis=1) >= 0) and learner.judgements == 200
    assert np.all((bought[:, -1] > 100) & (bought[:, -1] <= 200))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward


def test_more_policies_than_users_are_refused():
    with pytest.raises(InputError, match="4 policies cannot share 3 users"):
        QueryLearner(tiny_scene(NETWORK), QueryConfig())
    assert QueryLearner(tiny_scene(NETWORK, users=4, updates=10), QueryConfig(budget=12)).judgements == 12


def test_an_update_with_a_hundred_thousand_items_takes_less_than_two_gigabytes():
    """By what its compiled program holds; nothing is run."""
    many, hyper = 100_000, QueryHyper()
    network, world = tiny_network(many, width=32, block_rows=256), world_of("by the history")
    learner = QueryLearner(tiny_scene(network, users=64, rollout=8), QueryConfig())
    logged, owner = logged_in(world, 20), jnp.arange(2, dtype=jnp.int32)
    shapes = jax.eval_shape(
        lambda: (FACTORS.replace(item=jnp.zeros((many, 3)), offset=jnp.zeros(many)), jnp.zeros((2, many)))
    )

    def data_of(inputs):
        return Data(world=world, logged=logged, prior=inputs[1], fitted=OwnedFactors(inputs[0], owner))

    def begin(key, inputs):
        return learner.init(key, hyper, data_of(inputs), (network.init(jax.random.key(0), 2),))

    run = jax.eval_shape(begin, jax.random.key(0), shapes)
    update = jax.jit(lambda run, inputs: learner.update(run, hyper, data_of(inputs)))
    needed = update.lower(run, shapes).compile().memory_analysis()
    assert needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes < 2e9
