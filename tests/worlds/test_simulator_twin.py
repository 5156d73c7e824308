"""The simulator and its plain-Python twin agree step by step on random worlds, noise and actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import world_arrays, world_from
from simulator_twin import SimulatorTwin

from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Noise

ALL_RULES = ("distance", "rating", "category", "patience")
SWITCHES = {
    "defaults": SimulatorConfig(turn_cap=8),
    "all rules": SimulatorConfig(turn_cap=6, rules=ALL_RULES),
    "rules reversed": SimulatorConfig(turn_cap=6, rules=ALL_RULES[::-1], window=2),
    "category": SimulatorConfig(turn_cap=9, rules=("category",), window=5, repeats="allowed"),
    "patience": SimulatorConfig(turn_cap=9, rules=("patience",), pay_on_departure=False),
    "rejected forgotten": SimulatorConfig(turn_cap=9, rules=("rating",), keep_rejected=False),
    "quirk 5": SimulatorConfig(turn_cap=9, window=5, slice_quirk=True, rules=("distance", "category")),
    "quirk 7": SimulatorConfig(turn_cap=11, window=7, slice_quirk=True, keep_rejected=False),
}  # fmt: skip


def compare(twin, session, state, timestep, mask, outcome):
    """Asserts that both sides are in the same situation after a step."""
    items, feedback = twin.observation(session)
    np.testing.assert_array_equal(timestep.observation.items, items)
    np.testing.assert_allclose(timestep.observation.feedback, feedback, atol=1e-6)
    np.testing.assert_allclose(timestep.reward, outcome.reward, atol=1e-6)
    np.testing.assert_allclose(state.temper, session.temper, atol=1e-5)
    assert bool(timestep.terminated) == outcome.terminated
    assert bool(timestep.truncated) == outcome.truncated
    assert REASONS[int(timestep.reason)] == outcome.reason
    assert bool(timestep.appended) == outcome.appended
    np.testing.assert_allclose(timestep.feedback, outcome.feedback, atol=1e-6)
    assert set(np.flatnonzero(~mask)) == twin.forbidden(session)
    assert int(state.turn) == len(session.recommended)


def rollouts(simulator, world, actions, noise, users):
    """All sessions side by side, stepped to the cap whether they have ended or not; leaves [S, L, ...]."""

    def one(user, actions, noise):
        def turn(state, inputs):
            state, timestep = simulator.transition(state, inputs[0], Noise(inputs[1]), world)
            return state, (state, timestep, timestep.action_mask(world.num_items))

        return jax.lax.scan(turn, simulator.start(user, world)[0], (actions, noise))[1]

    return jax.device_get(jax.jit(jax.vmap(one))(users, actions, noise))


@pytest.mark.parametrize("name", SWITCHES)
def test_rollouts_agree_with_the_twin(name):
    config, sessions = SWITCHES[name], 40
    seed = list(SWITCHES).index(name)
    arrays = world_arrays(seed, allowed=9 if seed % 2 else 0)
    generator = np.random.default_rng(seed)
    users = generator.integers(0, 6, sessions).astype(np.int32)
    actions = generator.integers(0, 14, (sessions, config.turn_cap)).astype(np.int32)
    noise = generator.normal(size=(sessions, config.turn_cap)).astype(np.float32)
    results = rollouts(Simulator(config), world_from(arrays), actions, noise, users)
    compared, reasons = 0, set()
    for number, user in enumerate(users):
        twin = SimulatorTwin(config, arrays)
        session = twin.start(int(user))
        for turn in range(config.turn_cap):
            outcome = twin.step(session, int(actions[number, turn]), float(noise[number, turn]))
            if outcome.near_miss:
                break
            here = jax.tree.map(lambda leaf, at=(number, turn): leaf[at], results)
            compare(twin, session, *here, outcome)
            compared += 1
            reasons.add(outcome.reason)
    assert compared > 0.95 * actions.size
    assert reasons >= {rule for rule in config.rules if len(config.rules) == 1}


def test_every_reason_occurs_in_the_comparison():
    """Guards the test above: random worlds must make every rule and the cap fire."""
    arrays, seen = world_arrays(1), set()
    generator = np.random.default_rng(0)
    for _ in range(200):
        twin = SimulatorTwin(SWITCHES["all rules"], arrays)
        session = twin.start(int(generator.integers(6)))
        for _ in range(6):
            outcome = twin.step(session, int(generator.integers(14)), float(generator.normal()))
            seen.add(outcome.reason)
            if outcome.terminated:
                break
    assert seen == set(REASONS)


def test_start_agrees_with_the_twin():
    arrays = world_arrays(3, allowed=5)
    simulator, twin = Simulator(SimulatorConfig()), SimulatorTwin(SimulatorConfig(), arrays)
    for user in range(6):
        _, timestep = simulator.start(jnp.int32(user), world_from(arrays))
        session = twin.start(user)
        items, feedback = twin.observation(session)
        np.testing.assert_array_equal(timestep.observation.items, items)
        np.testing.assert_array_equal(timestep.observation.feedback, feedback)
        assert set(np.flatnonzero(~timestep.action_mask(14))) == twin.forbidden(session)
        assert not timestep.done and timestep.reward == 0 and timestep.reason == 0
