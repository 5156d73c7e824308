"""Known answers and properties of the simulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world

from ialp_jax.artifacts import InputError
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Noise, limits

QUIET = Noise(rating=jnp.float32(0.0))


def play_items(simulator, world, items, user=0):
    """States and timesteps of recommending `items` one after the other without noise."""
    state, timestep = simulator.start(jnp.int32(user), world)
    trail = [(state, timestep)]
    for item in items:
        state, timestep = simulator.transition(state, jnp.int32(item), QUIET, world)
        trail.append((state, timestep))
    return trail


@pytest.mark.parametrize(
    ("width", "sizes"), [(3, [1, 1, 3]), (5, [1, 2, 2, 1, 5]), (7, [1, 2, 3, 3, 2, 1, 7])]
)
def test_the_quirk_shrinks_the_window(width, sizes):
    simulator = Simulator(SimulatorConfig(turn_cap=10, window=width, slice_quirk=True, rules=()))
    trail = play_items(simulator, random_world(), range(width + 2))
    found = [int(simulator.window(state)[1].sum()) for state, _ in trail]
    assert found == [0, *sizes, width, width]


def test_the_window_holds_the_latest_items_first():
    simulator = Simulator(SimulatorConfig(turn_cap=10, window=3, rules=()))
    trail = play_items(simulator, random_world(), [5, 2, 9, 7])
    windows = [items[valid].tolist() for items, valid in (simulator.window(state) for state, _ in trail)]
    assert windows == [[], [5], [2, 5], [9, 2, 5], [7, 9, 2]]


def test_reaching_the_cap_truncates_and_does_not_terminate():
    simulator = Simulator(SimulatorConfig(turn_cap=3, rules=()))
    *_, before, (_, last) = play_items(simulator, random_world(), [0, 1, 2])
    assert not before[1].done
    assert last.truncated and not last.terminated
    assert REASONS[int(last.reason)] == "turn_cap"


def test_leaving_on_the_last_turn_is_a_termination():
    world = random_world()
    world = world.replace(departure=world.departure.replace(distance_threshold=jnp.float32(1e6)))
    simulator = Simulator(SimulatorConfig(turn_cap=2))
    _, last = play_items(simulator, world, [0, 1])[-1]
    assert last.terminated and not last.truncated
    assert REASONS[int(last.reason)] == "distance"


def test_the_first_recommendation_cannot_be_too_similar():
    world = random_world()
    world = world.replace(departure=world.departure.replace(distance_threshold=jnp.float32(1e6)))
    _, first = play_items(Simulator(SimulatorConfig()), world, [0])[-1]
    assert not first.done


def test_the_distance_rule_is_strict():
    world = random_world()
    vectors = jnp.zeros_like(world.item_vectors).at[1, 0].set(3.0)
    departure = world.departure.replace(distance_threshold=jnp.float32(3.0))
    world = world.replace(item_vectors=vectors, departure=departure)
    assert not play_items(Simulator(SimulatorConfig()), world, [0, 1])[-1][1].terminated
    assert play_items(Simulator(SimulatorConfig()), world, [0, 2])[-1][1].terminated


def test_users_are_drawn_uniformly_from_the_session_users():
    world = random_world().replace(session_users=jnp.array([1, 4, 5], jnp.int32))
    keys = jax.random.split(jax.random.key(0), 3000)
    users = jax.vmap(Simulator(SimulatorConfig()).reset, (0, None))(keys, world)[0].user
    counts = np.bincount(users, minlength=6)
    assert counts[[0, 2, 3]].sum() == 0
    assert np.all(abs(counts[[1, 4, 5]] - 1000) < 5 * np.sqrt(3000 * (1 / 3) * (2 / 3)))


def test_raising_the_threshold_only_moves_departures_earlier():
    """Monotone exits: with the same items, a stricter user never stays longer."""
    simulator = Simulator(SimulatorConfig(turn_cap=12, window=4))
    world = random_world(items=30)
    items = jax.random.permutation(jax.random.key(1), 30)[:12]

    def length(threshold):
        departure = world.departure.replace(distance_threshold=threshold)
        changed = world.replace(departure=departure)

        def turn(state, item):
            state, timestep = simulator.transition(state, item, QUIET, changed)
            return state, timestep.terminated

        left = jax.lax.scan(turn, simulator.start(jnp.int32(0), changed)[0], items)[1]
        return jnp.argmax(jnp.append(left, True))

    lengths = jax.vmap(length)(jnp.linspace(0.0, 6.0, 40))
    assert np.all(np.diff(lengths) <= 0)
    assert lengths[0] == 12 and lengths[-1] == 1


def test_renaming_the_items_renames_the_session():
    """Item-permutation equivariance: no rule may depend on an item's number."""
    rules = ("distance", "rating", "category", "patience")
    simulator = Simulator(SimulatorConfig(turn_cap=6, rules=rules, keep_rejected=False))
    world = random_world(noise=0.0)
    renamed = np.random.default_rng(0).permutation(14).astype(np.int32)
    back = np.argsort(renamed)
    padded = jnp.asarray(np.append(renamed, 14).astype(np.int32))
    other = world.replace(
        ratings=world.ratings.replace(table=world.ratings.table[:, back]),
        item_vectors=world.item_vectors[back],
        item_categories=world.item_categories[back],
        initial_items=padded[world.initial_items],
    )
    items = [3, 8, 1, 0, 12, 5]
    for here, there in zip(
        play_items(simulator, world, items, user=2),
        play_items(simulator, other, [renamed[item] for item in items], user=2),
        strict=True,
    ):
        np.testing.assert_array_equal(padded[here[1].observation.items], there[1].observation.items)
        np.testing.assert_array_equal(here[1].reward, there[1].reward)
        np.testing.assert_array_equal(here[1].reason, there[1].reason)


def test_a_departure_may_go_unpaid():
    world = random_world()
    world = world.replace(departure=world.departure.replace(rating_floor=jnp.float32(6.0)))
    paid, unpaid = (
        play_items(Simulator(SimulatorConfig(rules=("rating",), pay_on_departure=pays)), world, [0])[-1][1]
        for pays in (True, False)
    )
    assert paid.terminated and unpaid.terminated
    assert paid.reward > 0 and unpaid.reward == 0
    assert paid.feedback == unpaid.feedback


def test_mask_of_allowed_and_excluded_items():
    excluded = jnp.array([1, 5, 5], jnp.int32)
    everything = limits(excluded).mask(5)
    some = limits(excluded, jnp.array([0, 1], jnp.int32)).mask(5)
    assert everything.tolist() == [True, False, True, True, True]
    assert some.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("wrong", [{"rules": ("boredom",)}, {"turn_cap": 0}, {"window": 0}])
def test_wrong_rules_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=r"simulator\.|SimulatorConfig\."):
        SimulatorConfig(**wrong)
