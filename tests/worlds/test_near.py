"""The distance rule looked up and computed: the same sessions, whatever the catalogue and the threshold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_worlds import world_arrays, world_from

from ialp_jax.environments.check import check_world
from ialp_jax.worlds.arrays import world_from_arrays, world_to_arrays
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.near import BLOCK, TABLE_ITEMS, looked_up, near_table, tabulate_near
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Noise

ALL_RULES = ("distance", "rating", "category", "patience")
CONFIG = SimulatorConfig(turn_cap=7, rules=ALL_RULES, window=3, repeats="allowed")


def integer_world(seed, items, threshold, width=5):
    """A world whose distances are exact, as Coat's are: vectors of whole ratings from 1 to 5."""
    arrays = world_arrays(seed, items=items)
    arrays["item_vectors"] = np.random.default_rng(seed).integers(1, 6, (items, width)).astype(np.float32)
    arrays["distance_threshold"] = np.float32(threshold)
    return arrays


def sessions(config, world, seed, count=40):
    """States and timesteps [S, L] of random items, repeats included, stepped to the cap."""
    generator = np.random.default_rng(seed)
    users = generator.integers(0, 6, count).astype(np.int32)
    items = generator.integers(0, world.num_items, (count, config.turn_cap)).astype(np.int32)
    noise = generator.normal(size=items.shape).astype(np.float32)
    simulator = Simulator(config)

    def one(world, user, items, noise):
        def turn(state, inputs):
            state, timestep = simulator.transition(state, inputs[0], Noise(inputs[1]), world)
            return state, (state, timestep)

        return jax.lax.scan(turn, simulator.start(user, world)[0], (items, noise))[1]

    return jax.device_get(jax.jit(jax.vmap(one, (None, 0, 0, 0)))(world, users, items, noise))


def assert_same(left, right):
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16), items=st.integers(8, 40),
    threshold=st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0, np.inf]), quirk=st.booleans(),
)  # fmt: skip
def test_sessions_are_the_same_looked_up_and_computed(seed, items, threshold, quirk):
    config = SimulatorConfig(
        turn_cap=7, rules=ALL_RULES, window=3, repeats="allowed", slice_quirk=quirk, keep_rejected=not quirk
    )
    world = world_from(integer_world(seed, items, threshold))
    tabulated = tabulate_near(world)
    assert tabulated.near.shape == (items, -(-items // 8)) and world.near.size == 0
    assert_same(sessions(config, world, seed), sessions(config, tabulated, seed))


def test_every_reason_occurs_in_the_comparison():
    """Guards the test above."""
    seen = set()
    for threshold in (0.0, 2.0):
        timesteps = sessions(CONFIG, tabulate_near(world_from(integer_world(3, 21, threshold))), 0)[1]
        seen |= set(np.unique(timesteps.reason).tolist())
    assert seen == set(range(len(REASONS)))


@pytest.mark.parametrize("items", [5, 8, 29, BLOCK + 44])
@pytest.mark.parametrize("threshold", [0.0, 1.0, 3.0, np.inf])
def test_the_table_is_the_distances(items, threshold):
    arrays = integer_world(items, items, threshold, width=3)
    world = tabulate_near(world_from(arrays))
    vectors = arrays["item_vectors"].astype(float)
    expected = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1) < threshold
    everything = jnp.arange(items)
    found = jax.vmap(looked_up, (None, 0, None))(world.near, everything, everything)
    np.testing.assert_array_equal(found, expected)
    assert np.all(np.diagonal(found) == (threshold > 0))


@pytest.mark.parametrize("tabulated", [False, True])
def test_a_threshold_of_zero_never_fires(tabulated):
    """Not even for the same item again, whose squared distance rounding may put below zero."""
    arrays = world_arrays(1, items=40, width=50)
    arrays["distance_threshold"] = np.float32(0.0)
    world = world_from(arrays)
    config = SimulatorConfig(turn_cap=6, repeats="allowed")
    items = np.repeat(np.arange(40, dtype=np.int32)[:, None], 6, axis=1)
    simulator = Simulator(config)
    world = tabulate_near(world) if tabulated else world

    def one(items):
        def turn(state, item):
            state, timestep = simulator.transition(state, item, Noise(jnp.float32(0.0)), world)
            return state, timestep.terminated

        return jax.lax.scan(turn, simulator.start(jnp.int32(0), world)[0], items)[1]

    assert not np.any(jax.jit(jax.vmap(one))(items))


def test_real_vectors_agree_away_from_the_threshold():
    arrays = world_arrays(2, items=203, width=6)
    arrays["distance_threshold"] = np.float32(2.0)
    world = tabulate_near(world_from(arrays))
    vectors = arrays["item_vectors"].astype(float)
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    everything = jnp.arange(203)
    found = np.asarray(jax.vmap(looked_up, (None, 0, None))(world.near, everything, everything))
    clear = np.abs(distances - 2.0) > 1e-5
    np.testing.assert_array_equal(found[clear], distances[clear] < 2.0)
    assert 0.01 < found.mean() < 0.9 and clear.mean() > 0.99


def test_a_table_can_be_made_again_after_a_change():
    world = tabulate_near(world_from(integer_world(0, 30, 2.0)))
    changed = world.replace(departure=world.departure.replace(distance_threshold=jnp.float32(4.0)))
    again = tabulate_near(changed)
    assert np.unpackbits(again.near).sum() > np.unpackbits(world.near).sum()
    assert_same(sessions(CONFIG, again, 1), sessions(CONFIG, world_from(integer_world(0, 30, 4.0)), 1))


def test_shapes_are_known_without_making_it_and_large_catalogues_are_left_alone():
    def shape(items):
        arrays = {**integer_world(0, 30, 2.0), "item_vectors": np.zeros((items, 2), np.float32)}
        return jax.eval_shape(tabulate_near, world_from(arrays)).near.shape

    assert shape(TABLE_ITEMS) == (TABLE_ITEMS, TABLE_ITEMS // 8)
    assert shape(TABLE_ITEMS + 1) == (0, 0)


def test_it_is_not_stored_and_a_wrong_one_is_refused():
    world = tabulate_near(world_from(world_arrays(0, items=30)))
    again = world_from_arrays(world_to_arrays(world))
    assert again.near.shape == (0, 0)
    assert_same(tabulate_near(again), world)
    simulator = Simulator(SimulatorConfig(turn_cap=5))
    assert {line.name: line.passed for line in check_world(simulator, world)}["types"]
    for name, wrong in (("types", world.near.astype(jnp.int32)), ("shapes", world.near[:-1])):
        failed = [line for line in check_world(simulator, world.replace(near=wrong)) if not line.passed]
        assert [line.name for line in failed[:1]] == [name] and "near" in failed[0].detail


@pytest.mark.parametrize("items", [5, 16, BLOCK, BLOCK + 3])
def test_the_table_holds_the_distances_of_numpy(items):
    """Whole numbers, so that the computed rule rounds nowhere; a pair at the threshold itself is not nearer."""
    points = np.random.default_rng(items).integers(0, 5, (items, 3)).astype(np.float32)
    distances = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=-1)
    for threshold in (0.0, 1.0, 3.0, 100.0):
        table = near_table(points, threshold)
        assert table.shape == (items, -(-items // 8)) and table.dtype == np.uint8
        bits = np.unpackbits(np.asarray(table), axis=1, bitorder="little")
        np.testing.assert_array_equal(bits[:, :items], distances < threshold)
        assert not bits[:, items:].any()
