"""A policy whose scores are no numbers, or too large, still recommends items of the catalogue that may be recommended."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue_cases import PLANS, case, exact_log_probs
from random_worlds import random_world

from ialp_jax.methods.learners.teaching import preferred_item
from ialp_jax.methods.named.a_ialp_ap_mixture import choose_by_weight
from ialp_jax.policies.catalogue import catalogue_distribution, inverse_cdf
from ialp_jax.policies.fixed import ScorePolicy
from ialp_jax.policies.logging import logging_actor
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.world import DenseRatings

everywhere = pytest.mark.parametrize("name", PLANS)
BROKEN = {
    "NaN": np.nan, "infinity": np.inf, "minus infinity": -np.inf, "too large": 1e25, "below what masks": -1e17,
}  # fmt: skip
"""Every number of the query; the items' are 1e17, so that -1e17 gives logits of -1e34."""
SIZES = {
    "a block short of one": case(3, 63, excluded=5),
    "whole blocks": case(3, 64, excluded=5),
    "an allowed list": case(3, 67, excluded=3, allowed=6),
    "alike items": case(3, 130, excluded=3, alike=0.9),
}


def head(plan, inputs, value):
    """The distribution of a policy all of whose scores are broken."""
    query, items = jnp.full(inputs.query.shape, value), jnp.full(inputs.items.shape, 1e17)
    return catalogue_distribution(plan, query, items, inputs.bias, inputs.limits)


@everywhere
@pytest.mark.parametrize("of", SIZES)
def test_what_a_broken_policy_draws_may_be_recommended(name, of):
    inputs = SIZES[of]
    permitted = np.isfinite(exact_log_probs(inputs))

    @jax.jit
    def served(key, value):
        found = head(PLANS[name], jax.tree.map(jnp.asarray, inputs), value)
        drawn = found.sample(seed=key, sample_shape=(300,))
        return drawn, found.mode(), found.top_k(2)[:, 0], found.log_prob(drawn), found.entropy()

    for value in BROKEN.values():
        drawn, mode, best, *numbers = map(np.asarray, served(jax.random.key(0), value))
        for row, may in enumerate(permitted):
            assert may[drawn[:, row]].all() and may[mode[row]] and may[best[row]], (value, row)
            assert np.unique(drawn[:, row]).size > 1
        assert all(np.isfinite(array).all() for array in numbers)


@everywhere
def test_where_nothing_may_be_recommended_an_item_of_the_catalogue_is(name):
    inputs = case(2, 70).limited(excluded=np.stack([np.arange(70)] * 2))
    for value in (0.0, np.nan):
        drawn = head(PLANS[name], jax.tree.map(jnp.asarray, inputs), value).sample(
            seed=jax.random.key(1), sample_shape=(500,)
        )
        assert int(drawn.min()) >= 0 and int(drawn.max()) < 70


@pytest.mark.parametrize("size", [63, 64, 130])
@pytest.mark.parametrize("weight", [0.0, np.nan, -1.0])
def test_weights_that_are_none_give_no_item_beyond_the_last(size, weight):
    pairs = jax.random.uniform(jax.random.key(0), (200, 2))
    drawn = jax.vmap(inverse_cdf, (0, None))(pairs, jnp.full(size, weight, jnp.float32))
    assert np.asarray(drawn).max() < size and np.asarray(drawn).min() >= 0


def test_scores_that_are_no_numbers_are_lower_than_all_others():
    _, timestep = Simulator(SimulatorConfig()).start(jnp.int32(3), random_world(allowed=8))
    permitted = np.flatnonzero(timestep.action_mask(14))
    assert 0 < permitted.size < 14
    act = jax.jit(jax.vmap(lambda key, scores: ScorePolicy(scores[None]).act(key, timestep), (0, None)))
    for seed, scores, best in (
        (1, jnp.full(14, jnp.nan), set(permitted.tolist())),
        (2, jnp.full(14, jnp.nan).at[permitted[1]].set(-5.0), {permitted[1]}),
    ):
        assert set(act(jax.random.split(jax.random.key(seed), 100), scores).tolist()) == best


def test_powers_of_popularity_that_are_infinite_leave_chances():
    _, timestep = Simulator(SimulatorConfig()).start(jnp.int32(3), random_world(allowed=8))
    permitted = np.flatnonzero(timestep.action_mask(14))
    many = jax.tree.map(lambda leaf: jnp.stack([leaf] * 50), timestep)
    actor = logging_actor(jnp.full(14, 1e4), 100.0, 0.2)
    items, log_propensities = actor.act(jax.random.split(jax.random.key(0), 50), (), many)
    assert set(items.tolist()) <= set(permitted.tolist()) and np.isfinite(log_propensities).all()
    np.testing.assert_allclose(log_propensities, -np.log(permitted.size), rtol=1e-5)


def test_a_weight_that_is_no_number_leaves_the_online_policy():
    inputs = case(2, 70, excluded=69)  # one item is left in each row
    policies = [catalogue_distribution(PLANS["dense"], *jax.tree.map(jnp.asarray, inputs)) for _ in range(2)]
    for greedy in (False, True):
        item, choice = choose_by_weight(jax.random.key(0), *policies, jnp.float32(jnp.nan), jnp.bool_(greedy))
        assert item.tolist() == np.argmax(exact_log_probs(inputs), axis=1).tolist()
        assert np.isfinite(choice.behaviour).all()


def test_a_teacher_points_to_nothing_that_pays_less_than_nothing():
    world = random_world(allowed=8)
    state, timestep = Simulator(SimulatorConfig()).start(jnp.int32(3), world)
    negative = world.replace(ratings=DenseRatings(world.ratings.table - 3.0))
    ratings = np.asarray(negative.ratings.of_all(state.user))
    pays = np.flatnonzero(np.asarray(timestep.action_mask(14)) & (ratings > 0)).tolist()
    assert len(pays) > 1
    keys = jax.random.split(jax.random.key(2), 300)
    pointed = jax.jit(jax.vmap(lambda key: preferred_item(key, state, timestep, negative)))(keys)
    assert set(pointed.tolist()) == set(pays)
