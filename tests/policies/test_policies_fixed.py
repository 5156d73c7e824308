"""Fixed policies: they respect masks, break ties evenly, and the oracle knows exactly who would leave."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world

from ialp_jax.policies.fixed import (
    OraclePolicy,
    RandomPolicy,
    ScorePolicy,
    choose,
    departs,
    fixed_actor,
    oracle_actor,
    permitted_item,
)
from ialp_jax.serving.play import play
from ialp_jax.worlds.departure import DepartureContext, departure_reason, temper_after
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

ALL_RULES = ("distance", "rating", "category", "patience")


def test_choose_is_uniform_over_the_true_entries():
    among = jnp.array([False, True, False, True, True])
    keys = jax.random.split(jax.random.key(0), 3000)
    counts = np.bincount(jax.vmap(choose, (0, None))(keys, among), minlength=5)
    assert counts[[0, 2]].sum() == 0
    assert np.all(abs(counts[[1, 3, 4]] - 1000) < 5 * np.sqrt(3000 * (1 / 3) * (2 / 3)))


def acting(policy, world, user=0, config=None, draws=200):
    """Items chosen in many draws at the start of a user's session."""
    state, timestep = Simulator(config or SimulatorConfig()).start(jnp.int32(user), world)
    keys = jax.random.split(jax.random.key(1), draws)
    seen = (state, timestep, world) if isinstance(policy, OraclePolicy) else (timestep,)
    chosen = jax.jit(jax.vmap(lambda key: policy.act(key, *seen)))(keys)
    return set(chosen.tolist()), set(np.flatnonzero(timestep.action_mask(world.num_items)).tolist())


def test_random_takes_every_permitted_item_and_no_other():
    chosen, permitted = acting(RandomPolicy(14), random_world(allowed=8), user=3)
    assert chosen == permitted


@pytest.mark.parametrize(
    ("items", "excluded"), [(9, [3, 0, 9, 3]), (4, [0, 2, 3]), (5, [5, 5, 7, 5]), (9, []), (40, range(39))]
)
def test_drawn_items_are_uniform_over_what_is_permitted(items, excluded):
    draws = 20_000
    keys = jax.random.split(jax.random.key(0), draws)
    chosen = jax.vmap(permitted_item, (0, None, None))(keys, jnp.array(list(excluded), jnp.int32), items)
    permitted = sorted(set(range(items)) - set(excluded))
    counts = np.bincount(chosen, minlength=items)
    assert counts.sum() == draws == counts[permitted].sum()
    expected = draws / len(permitted)
    assert ((counts[permitted] - expected) ** 2 / expected).sum() <= 26.1  # chi-square, 8 degrees, p = 0.001


def test_keys_of_more_than_64_bits_serve_as_well():
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 200)
    chosen = jax.vmap(permitted_item, (0, None, None))(keys, jnp.array([0, 2, 3], jnp.int32), 5)
    assert set(np.unique(chosen)) == {1, 4}


def test_random_draws_from_the_catalogue_where_everything_may_be_excluded():
    """With as many exclusions as items, or a list of what is allowed, drawing again might never end."""
    world = random_world(items=14, history=4)
    chosen, permitted = acting(
        RandomPolicy(world.num_items), world, user=1, config=SimulatorConfig(turn_cap=10), draws=400
    )
    assert chosen == permitted


def test_greedy_takes_the_best_permitted_items_of_the_user_and_all_tied_ones():
    world = random_world().replace(initial_items=jnp.full((6, 1), 14, jnp.int32).at[2, 0].set(5))
    scores = jnp.zeros((6, 14)).at[2].set(jnp.arange(14.0) % 6)
    assert acting(ScorePolicy(scores), world, user=2)[0] == {11}
    assert acting(ScorePolicy(scores), world, user=1)[0] == set(range(14))


def test_one_row_of_scores_serves_everybody():
    world = random_world().replace(initial_items=jnp.full((6, 1), 14, jnp.int32))
    assert acting(ScorePolicy(jnp.arange(14.0)[None]), world, user=4)[0] == {13}


@pytest.mark.parametrize("rules", [ALL_RULES, *((rule,) for rule in ALL_RULES)])
def test_the_oracle_foresees_exactly_who_leaves(rules):
    """The catalogue-wide rules agree with the simulator's rule for one item, for every item."""
    simulator = Simulator(SimulatorConfig(turn_cap=8, rules=rules))
    world = random_world(noise=0.0)

    def both(key, user):
        turn_key, items_key = jax.random.split(key)
        items = jax.random.permutation(items_key, 14)[:8]
        state = simulator.start(user, world)[0].replace(
            turn=jax.random.randint(turn_key, (), 0, 8), session_items=items, temper=jnp.float32(0.6)
        )
        ratings = world.ratings.of_all(user)

        def one(item, rating):
            temper = temper_after(state.temper, world.feedback(rating), world)
            context = DepartureContext(item, rating, *simulator.window(state), temper)
            return departure_reason(rules, context, world) > 0

        catalogue = jnp.arange(14, dtype=jnp.int32)
        return departs(simulator, state, ratings, world), jax.vmap(one)(catalogue, ratings)

    keys = jax.random.split(jax.random.key(0), 60)
    foreseen, happened = jax.jit(jax.vmap(both))(keys, jnp.arange(60, dtype=jnp.int32) % 6)
    np.testing.assert_array_equal(foreseen, happened)
    assert 0 < happened.mean() < 1


def test_the_oracle_keeps_users_longer_and_earns_more():
    simulator, world = Simulator(SimulatorConfig(turn_cap=6)), random_world(seed=2, noise=0.0, items=30)
    played = {
        name: play(jax.random.key(0), actor, simulator, world, 200)
        for name, actor in {
            "oracle": oracle_actor(OraclePolicy(simulator)),
            "random": fixed_actor(RandomPolicy(30)),
        }.items()
    }
    assert played["oracle"].length.mean() > played["random"].length.mean()
    assert played["oracle"].total.mean() > 1.5 * played["random"].total.mean()
    inside = played["random"].items < 30
    np.testing.assert_array_equal(inside.sum(axis=1), played["random"].length)
    np.testing.assert_array_equal((played["random"].rewards > 0).sum(axis=1), played["random"].length)
