"""AURO: the state abstraction's written-down numbers, what the guard promises, whom it serves what, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, OPTIMUM, greedy_reward, scene, world_of
from small_optima import NETWORK as SMALL
from tabular_network import NETWORK, experience, table_params
from tiny_runs import tiny_network, tiny_params, tiny_scene

from ialp_jax.artifacts import InputError
from ialp_jax.learning.abstraction import abstraction_of, grouped_loss, unit_features, value_groups
from ialp_jax.methods.named.auro import (
    AUROConfig,
    AUROHyper,
    AUROLearner,
    auro_loss,
    critics_at,
    guarded_actor,
    guarded_choice,
)
from ialp_jax.serving.shares import USER, average
from ialp_jax.testing.trial import apart
from ialp_jax.worlds.types import Observation, Situation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = AUROHyper(learning_rate=5e-3, discount=0.9, entropy_share=0.5, target_rate=0.02)
choice = jax.jit(guarded_choice, static_argnums=4)
VALUES = jnp.array([0.1, 0.9, 0.4, 0.7, 0.2, 0.8, 0.5, 0.3])
FEATURES = jnp.array([1.0, 4.0, 2.0, 3.0, 1.2, 4.2, 2.2, 1.8])[:, None]


def test_the_abstractions_golden_numbers():
    """Of pairs of states: those within groups count as they are, those between lose the scatter of their groups."""
    groups = np.asarray(value_groups(VALUES, 4))
    assert groups.tolist() == [0, 3, 1, 2, 0, 3, 2, 1]
    found = abstraction_of(FEATURES, VALUES, 4)
    np.testing.assert_allclose(found.centres[:, 0], [1.1, 1.9, 2.6, 4.1], rtol=1e-6)
    assert float(found.within) == pytest.approx(0.38, abs=1e-5)
    assert float(found.between) == pytest.approx(19.47, abs=1e-4)
    assert float(found.loss) == pytest.approx(-76.36, abs=1e-3)
    square = (np.asarray(FEATURES)[:, 0][:, None] - np.asarray(FEATURES)[:, 0][None]) ** 2
    same = groups[:, None] == groups[None]
    assert square[same].sum() == pytest.approx(float(4 * found.within), rel=1e-5)
    assert square[~same].sum() / 2 == pytest.approx(80.16, abs=1e-3)
    assert float(4 * found.between) == pytest.approx(77.88, abs=1e-3)


def test_the_abstraction_of_equal_features_is_nothing_and_rows_have_no_order():
    assert float(abstraction_of(jnp.ones((8, 3)), VALUES, 4).loss) == pytest.approx(0.0, abs=1e-5)
    order = np.random.default_rng(0).permutation(8)
    again = abstraction_of(FEATURES[order], VALUES[order], 4)
    assert float(again.loss) == pytest.approx(-76.36, abs=1e-3)
    assert np.bincount(value_groups(jnp.arange(10.0), 4)).tolist() == [3, 2, 3, 2]


def test_unit_features_bound_it():
    """However large features become; those of nothing stay nothing, with a gradient that is a number."""
    large = 1e6 * jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    np.testing.assert_allclose(jnp.linalg.norm(unit_features(large), axis=1), 1.0, rtol=1e-5)
    assert float(abstraction_of(large, VALUES, 4).loss) / 64 < -1e6
    assert abs(float(abstraction_of(unit_features(large), VALUES, 4).loss)) / 64 < 2.0
    assert not np.any(unit_features(jnp.zeros((2, 3))))
    slope = jax.grad(lambda features: abstraction_of(unit_features(features), VALUES, 4).loss)(
        jnp.zeros((8, 3))
    )
    assert np.all(np.isfinite(slope))


def ensembles(seed, critics=4, users=50, pool=12):
    generator = np.random.default_rng(seed)
    own, others = generator.normal(size=(critics, users)), generator.normal(size=(critics, users, pool))
    return (
        jnp.asarray(own, jnp.float32),
        jnp.asarray(others, jnp.float32),
        jnp.asarray(generator.random((users, pool)) < 0.8),
    )


@pytest.mark.parametrize("optimism", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("candidates", [1, 3, 12])
def test_the_mean_of_what_is_recommended_is_never_below_the_policys(optimism, candidates):
    """And it is the best of a twin's candidates, which are permitted."""
    own, pool, may = ensembles(candidates)
    found = choice(own, pool, may, optimism, candidates)
    values = np.asarray(pool)
    mean, upper = values.mean(axis=0), values.mean(axis=0) + optimism * values.std(axis=0)
    replaced = 0
    for user in range(50):
        order = [place for place in np.argsort(-upper[user]) if may[user, place]][:candidates]
        best, mine = max(order, key=lambda place: mean[user, place]), float(np.mean(own[:, user]))
        if mean[user, best] > mine:
            assert int(found.place[user]) == best
            assert float(found.gain[user]) == pytest.approx(float(mean[user, best]) - mine, abs=1e-5)
            replaced += 1
        else:
            assert int(found.place[user]) == -1 and float(found.gain[user]) == 0.0
    assert replaced > 0 and np.all(np.asarray(found.gain) >= 0.0)


def test_without_optimism_it_is_greedy_in_the_mean_and_equal_spreads_change_nothing():
    own, pool, may = ensembles(0)
    mean = np.where(may, np.mean(pool, axis=0), -np.inf)
    greedy = np.where(mean.max(axis=1) > np.mean(own, axis=0), mean.argmax(axis=1), -1)
    plain = guarded_choice(own, pool, may, 0.0, 1).place
    assert np.array_equal(plain, greedy) and np.any(greedy >= 0)
    alike = jnp.mean(pool, axis=0)[None] + jnp.array([-2.0, -1.0, 1.0, 2.0])[:, None, None]
    assert np.array_equal(guarded_choice(own, alike, may, 5.0, 1).place, plain)
    assert np.any(np.asarray(guarded_choice(own, pool, may, 5.0, 1).place) != plain)


def test_an_optimistic_item_of_a_low_mean_is_turned_down():
    """Means are .5 of the policy's, .4 and .7; the upper bound of the second is the highest by far."""
    own = jnp.array([[0.5], [0.5]])
    pool = jnp.array([[[3.4, 0.7]], [[-2.6, 0.7]]])
    may = jnp.ones((1, 2), bool)
    assert guarded_choice(own, pool, may, 1.0, 1).place.tolist() == [-1]
    assert guarded_choice(own, pool, may, 1.0, 2).place.tolist() == [1]
    assert guarded_choice(own, pool, may, 0.0, 1).place.tolist() == [1]
    assert guarded_choice(own, pool, ~may, 1.0, 2).place.tolist() == [-1]


def small_params(best):
    """A policy that all but always draws item 3 and then likes 4, 5, ...; both critics find `best` best."""
    actor = tiny_params(SMALL, 2)
    still = {"kernel": jnp.zeros_like(actor["query_head"]["kernel"]), "bias": jnp.zeros(6)}
    ranked = {**actor, "query_head": still, "bias": jnp.array([0.0, 0.0, 0.0, 99.0, 8.0, 7.0, 6.0, 5.0, 4.0])}
    critic = {**ranked, "bias": jnp.zeros(ITEMS).at[best].set(1.0)}
    return {"actor": ranked, "critic_0": critic, "critic_1": critic}


@pytest.mark.parametrize(
    "best, considered, table_items, excluded, expected",
    [
        (5, 3, 0, 0, 5),
        (6, 3, 0, 0, 3),
        (6, 4, 0, 0, 6),
        (5, 3, 0, 5, 3),
        (8, 3, 1, 0, 8),
        (7, 3, 1, 0, 3),
        (7, 3, 2, 0, 7),
    ],
)
def test_candidates_are_the_policys_likeliest_and_the_tables_best(
    best, considered, table_items, excluded, expected
):
    """The policy's are 3, 4, 5, 6, ... in turn, the table's best 8 and then 7; what is excluded is neither's."""
    config = AUROConfig(considered=considered, candidates=1, table_items=table_items)
    prior = jnp.arange(float(ITEMS))[None]
    actor = guarded_actor(SMALL, small_params(best), config, 0.0, prior)
    seen = Observation(jnp.array([[ITEMS, 0]] * 2), jnp.array([[0.0, 1.0]] * 2))
    situation = Situation(jnp.zeros(2, jnp.int32), seen, limits(jnp.full((2, 1), excluded)))
    items, decision = jax.jit(actor.act)(jax.random.key(0), (), situation)
    assert items.tolist() == [expected] * 2
    assert np.all((np.asarray(decision.guarded.place) >= 0) == (expected != 3))


def test_critics_are_read_at_several_items_as_at_one():
    params = tiny_params(SMALL, 2)
    other = tiny_params(SMALL, 2, seed=1)
    seen = Observation(jnp.array([[9, 0], [3, 1]]), jnp.array([[0.0, 1.0]] * 2))
    items = jnp.array([[1, 2, 3], [4, 5, 6]])
    values = jax.jit(lambda critics: critics_at(SMALL, critics, seen, items))([params, other])
    read = jax.jit(lambda one: SMALL.begin(one, seen).features)
    for place, one in enumerate((params, other)):
        features = read(one)
        query, (items, bias) = SMALL.query(one, features), SMALL.catalogue(one)
        whole = SMALL.value(one, features)[:, None] + query @ items.T + bias[None]
        expected = np.take_along_axis(np.asarray(whole), np.array([[1, 2, 3], [4, 5, 6]]), axis=1)
        np.testing.assert_allclose(values[place], expected, rtol=1e-4, atol=1e-5)


def table_parts(tables):
    critics = {f"critic_{place}": table_params(table) for place, table in enumerate(tables)}
    actor = table_params(np.log([[0.2, 0.3, 0.5]] * 4))
    return {"actor": actor, "log_temperature": jnp.log(jnp.float32(0.2)), **critics}


def test_the_goal_is_of_the_lowest_critic_and_the_policys_q_the_mean_of_all():
    """pi = (.2, .3, .5), Q = (1, 2, 3), alpha = .2: the soft value is 2.505931; critics that are higher change the mean alone."""
    table = np.array([[1.0, 2.0, 3.0]] * 4)
    params = table_parts([table, table + 3.0])
    rows = experience([0], [0], [0.25], [1])
    metrics = jax.jit(lambda at: auro_loss(at, at, NETWORK, rows, HYPER, 0)[1])(params)
    goal = 0.25 + 0.9 * 2.505931
    assert float(metrics["action_value_loss"]) == pytest.approx(
        0.5 * ((goal - 1) ** 2 + (goal - 4) ** 2), rel=1e-5
    )
    assert float(metrics["policy_loss"]) == pytest.approx(-2.505931 - 1.5, abs=1e-5)


def test_the_abstraction_moves_the_policys_encoder_and_no_critic():
    critics = {f"critic_{place}": tiny_params(SMALL, 2, seed=2 + place) for place in range(2)}
    params = {"actor": tiny_params(SMALL, 2), "log_temperature": jnp.float32(0.0), **critics}
    generator = np.random.default_rng(0)
    rows = experience([0] * 8, generator.integers(1, ITEMS, 8), [0.0] * 8, [0] * 8)
    window = Observation(
        jnp.asarray(generator.integers(0, ITEMS, (8, 2)), jnp.int32),
        jnp.asarray(generator.random((8, 2)), jnp.float32),
    )
    rows = rows.replace(window=window)

    def slope(weight):
        return jax.grad(
            lambda at: auro_loss(at, params, SMALL, rows, HYPER.replace(abstraction=weight), 4)[0]
        )(params)

    with_it, without = jax.jit(slope)(5.0), jax.jit(slope)(0.0)
    assert apart(with_it["actor"]["encoder"], without["actor"]["encoder"], 1e-3, 1e-4)
    assert not apart([with_it[name] for name in critics], [without[name] for name in critics], 1e-5, 1e-6)


def test_groups_are_of_the_rows_of_all_devices():
    """Each of two devices has half of the rows; the gradient of the parameters is that of one device with all."""
    generator = np.random.default_rng(0)
    params, rows = (jnp.asarray(generator.normal(size=shape), jnp.float32) for shape in ((3, 2), (8, 3)))

    def slope(params, rows, values):
        def loss(params):
            return grouped_loss(unit_features(rows @ params), values, 4)

        return average(jax.grad(loss)(params))

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), (USER,))
    split = jax.sharding.PartitionSpec(USER)
    whole = jax.sharding.PartitionSpec()
    shared = jax.shard_map(slope, mesh=mesh, in_specs=(whole, split, split), out_specs=whole, check_vma=False)
    order = jnp.argsort(VALUES)  # as the rows stand, a device's own would be other groups
    one, two = (jax.jit(each)(params, rows[order], VALUES[order]) for each in (slope, shared))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    assert np.abs(one).max() > 1e-2


def test_it_nears_the_optimum():
    """Greedily; a seed here and there overlooks one of four items."""
    learner = AUROLearner(
        scene(120), AUROConfig(gradient_steps=4, rows=2, kept_turns=64, critics=2, considered=9, candidates=2)
    )
    reward = greedy_reward(((learner, HYPER),), 4, world_of("by the history"), None)
    assert np.mean(reward) >= 0.9 * OPTIMUM, reward


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="6 candidates cannot be chosen from 5 items"):
        AUROConfig(considered=5, candidates=6)
    with pytest.raises(InputError, match="6 replayed turns cannot be divided into 7 groups"):
        AUROLearner(tiny_scene(SMALL), AUROConfig(rows=2, groups=7))


def test_serving_a_hundred_thousand_items_takes_less_than_two_gigabytes():
    """By what the compiled program of a turn holds; nothing is run. The loss is in blocks, as Soft Actor-Critic's."""
    network, users = tiny_network(100_000, width=8, block_rows=256), 512
    one = jax.eval_shape(lambda: network.init(jax.random.key(0), 2))
    params = {"actor": one, "critic_0": one, "critic_1": one}
    seen = Observation(jnp.zeros((users, 2), jnp.int32), jnp.zeros((users, 2)))
    situation = Situation(jnp.zeros(users, jnp.int32), seen, limits(jnp.zeros((users, 6), jnp.int32)))

    def turn(params, prior, key):
        actor = guarded_actor(network, params, AUROConfig(table_items=10), 1.0, prior)
        return actor.act(key, (), situation)

    prior = jax.ShapeDtypeStruct((1, 100_000), jnp.float32)
    needed = jax.jit(turn).lower(params, prior, jax.random.key(0)).compile().memory_analysis()
    assert needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes < 2e9
