"""The conformance suite passes sound worlds and names what is wrong with broken ones."""

import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world

from ialp_jax.environments.check import SESSION_CHECKS, check_world
from ialp_jax.environments.check_arrays import ARRAY_CHECKS
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import limits

SIMULATOR = Simulator(SimulatorConfig(turn_cap=5))


def failed(simulator, world):
    return {line.name: line.detail for line in check_world(simulator, world) if not line.passed}


def test_a_sound_world_passes():
    results = check_world(SIMULATOR, random_world(allowed=10))
    assert all(line.passed for line in results)
    statistics = results[-1]
    assert statistics.name == "random policy" and not statistics.warning
    assert "length" in statistics.detail and "distance" in statistics.detail


def ratings_with_nan(world):
    return world.replace(ratings=world.ratings.replace(table=world.ratings.table.at[1, 2].set(jnp.nan)))


BROKEN = {
    "NaN ratings": (ratings_with_nan, "finite arrays", "ratings.table"),
    "unknown user": (
        lambda w: w.replace(session_users=w.session_users + 1), "ids in range", "session_users"
    ),
    "unknown item": (
        lambda w: w.replace(initial_items=w.initial_items + 1), "ids in range", "initial_items"
    ),
    "wide ids": (
        lambda w: w.replace(session_users=np.arange(6, dtype=np.int64)), "types", "session_users is int64"
    ),
    "short histories": (
        lambda w: w.replace(initial_feedback=w.initial_feedback[:, 1:]), "shapes", "initial_feedback"
    ),
    "missing ratings": (
        lambda w: w.replace(ratings=w.ratings.replace(table=w.ratings.table[:, 1:])), "shapes", "of_all"
    ),
    "no users": (lambda w: w.replace(session_users=w.session_users[:0]), "shapes", "session_users is empty"),
    "empty range": (lambda w: w.replace(rating_high=w.rating_low), "ranges", "rating_low"),
    "feedback in stars": (
        lambda w: w.replace(initial_feedback=w.initial_feedback * 5), "ranges", "initial_feedback"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_arrays_are_named(name):
    spoil, check, detail = BROKEN[name]
    problems = failed(SIMULATOR, spoil(random_world()))
    assert detail in problems[check]
    assert "sessions" in problems


def test_a_cap_beyond_the_catalogue_is_named_unless_repeats_are_allowed():
    world = random_world(items=14, history=4)
    assert "lower it" in failed(Simulator(SimulatorConfig(turn_cap=14)), world)["enough items"]
    assert "enough items" in failed(Simulator(SimulatorConfig(turn_cap=5)), random_world(allowed=4))
    repeating = Simulator(SimulatorConfig(turn_cap=14, repeats="allowed"))
    assert all(check(repeating, world).passed for check in ARRAY_CHECKS)


class EndsTwice(Simulator):
    def step(self, key, state, action, world):
        state, timestep = super().step(key, state, action, world)
        return state, timestep.replace(truncated=timestep.truncated | timestep.terminated)


class PaysTooMuch(Simulator):
    def step(self, key, state, action, world):
        state, timestep = super().step(key, state, action, world)
        return state, timestep.replace(reward=timestep.reward + 10.0)


class Forgets(Simulator):
    def step(self, key, state, action, world):
        state, timestep = super().step(key, state, action, world)
        return state, timestep.replace(
            limits=limits(jnp.full_like(timestep.limits.excluded, world.num_items))
        )


class ChangesType(Simulator):
    def step(self, key, state, action, world):
        state, timestep = super().step(key, state, action, world)
        return state, timestep.replace(reward=timestep.reward[None])


BROKEN_RULES = {EndsTwice: "_endings", PaysTooMuch: "_rewards", Forgets: "_masks"}


@pytest.mark.parametrize("simulator", BROKEN_RULES)
def test_broken_rules_are_caught(simulator):
    check = {check.__name__: check for check in SESSION_CHECKS}[BROKEN_RULES[simulator]]
    assert not check(simulator(SimulatorConfig(turn_cap=9)), random_world()).passed
    assert check(Simulator(SimulatorConfig(turn_cap=9)), random_world()).passed


def test_a_timestep_that_changes_its_shape_is_caught():
    problems = failed(ChangesType(SimulatorConfig(turn_cap=5)), random_world())
    assert "timestep" in problems["same types after reset and step"]


def test_sessions_that_are_all_alike_draw_a_warning():
    world = random_world()
    eager = world.replace(departure=world.departure.replace(rating_floor=jnp.float32(6.0)))
    random_policy = SESSION_CHECKS[-1]
    at_once = random_policy(Simulator(SimulatorConfig(turn_cap=5, rules=("rating",))), eager)
    never = random_policy(Simulator(SimulatorConfig(turn_cap=5, rules=())), world)
    assert at_once.warning and "at once" in at_once.detail
    assert never.warning and "nobody ever leaves" in never.detail
