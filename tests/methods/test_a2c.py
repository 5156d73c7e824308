"""A2C learns what it must in worlds small enough to know the answer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import in_world, observations, probe_world, tiny_learner, tiny_network

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.worlds.simulator import SimulatorConfig

pytestmark = pytest.mark.usefixtures("batched_keys")
ITEMS, CAP, SEEDS, UPDATES = 9, 4, 3, 240
NETWORK = tiny_network(ITEMS, block_rows=256)
HISTORIES = [[ITEMS, 0], [ITEMS, 1]]

learner = tiny_learner(
    NETWORK,
    SimulatorConfig(turn_cap=CAP, window=2),
    users=48,
    rollout=4,
    updates=UPDATES,
    pool=16,
)


@partial(jax.jit, static_argnames="seeds")
def late_transitions(world, discount, seeds=SEEDS):
    """Trains a few seeds; what they did in the last fifth of the run, averaged per seed."""

    data = in_world(world)

    def one_seed(key):
        param_key, key = jax.random.split(key)
        hyper = ActorCriticHyper(learning_rate=2e-2, discount=discount, trace=0.9, entropy=0.01)
        run = learner.init(key, hyper, data, (NETWORK.init(param_key, 2),))
        metrics = jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=UPDATES)[1]
        return {name: jnp.mean(metrics[name][-UPDATES // 5 :]) for name in ("reward", "departures")}

    return jax.vmap(one_seed)(jax.random.split(jax.random.key(0), seeds))


def test_it_finds_the_items_that_pay():
    """Items 2 to 5 pay, for everybody; at random a third of the recommendations do."""
    pays = np.isin(np.arange(ITEMS), (2, 3, 4, 5)).astype(float)
    reward = late_transitions(probe_world([pays, pays], HISTORIES), 0.9)["reward"]
    assert np.all(reward > 0.9), reward


def test_it_reads_the_history():
    """Who has met item 0 likes items 1 to 4, who has met item 1 likes items 5 to 8: blind to the history, half pays.

    How far one seed gets turns on how a processor rounds (the least of 24 got .74), the mean of many does not.
    """
    pays = [
        np.isin(np.arange(ITEMS), (1, 2, 3, 4)).astype(float),
        np.isin(np.arange(ITEMS), (5, 6, 7, 8)).astype(float),
    ]
    reward = late_transitions(probe_world(pays, HISTORIES), 0.9, 24)["reward"]
    assert np.mean(reward) > 0.85, reward


def test_it_weighs_what_pays_now_against_users_who_stay():
    """Item 0 pays .8 but is so like all others that the user leaves at the next recommendation; the others pay .4.

    Greedy for now: .8 + .4, then the user is gone. Far-sighted: 1.6 for four others, 2 if item 0 is the last.
    """
    points = 0.9 * np.eye(ITEMS)
    points[0] = 0.0  # others are 1.27 apart, and 0.9 from item 0
    pays = np.where(np.arange(ITEMS) == 0, 0.8, 0.4)
    world = probe_world([pays, pays], [[ITEMS, ITEMS]] * 2, points, distance=1.0)
    short, far = late_transitions(world, 0.0), late_transitions(world, 0.95)
    length = {name: 1 / np.asarray(found["departures"]) for name, found in (("short", short), ("far", far))}
    assert np.all(length["short"] < 2.3), length
    assert np.all(length["far"] > 3.6), length
    assert np.all(far["reward"] * length["far"] > short["reward"] * length["short"] + 0.3)


def test_values_converge_to_the_exact_ones():
    """Each user may only be recommended one item, so the policy is known; three users, three exact values.

    User 0 earns 1 for ever (cut every ten turns: nobody acts from the state in which a session is cut, so its
    value rests on memories like it), user 1 earns .5 for ever, user 2 earns .2 and leaves.
    """
    discount, ratings = 0.8, np.diag([1.0, 0.5, 0.2])
    world = probe_world(ratings, [[0, 0], [1, 1], [2, 2]], floor=0.3, allowed=[[0], [1], [2]])
    world = world.replace(initial_feedback=jnp.asarray([[1.0, 1.0], [0.5, 0.5], [0.2, 0.2]]))
    network, data = tiny_network(3), in_world(world)
    tabular = tiny_learner(
        network,
        SimulatorConfig(turn_cap=10, rules=("rating",), repeats="allowed"),
        users=24,
        pool=12,
        updates=300,
    )
    hyper = ActorCriticHyper(learning_rate=1e-2, discount=discount)

    @jax.jit
    def learn(key):
        run = tabular.init(key, hyper, data, (network.init(jax.random.key(1), 2),))
        run, _ = jax.lax.scan(lambda run, _: tabular.update(run, hyper, data), run, None, length=400)
        start = observations(world.initial_items, world.initial_feedback)
        features = network.begin(run.params, start).features
        return network.value(run.params, features), network.action_value(run.params, features, jnp.arange(3))

    value, action_value = learn(jax.random.key(0))
    exact = [1 / (1 - discount), 0.5 / (1 - discount), 0.2]
    assert value == pytest.approx(exact, rel=0.05, abs=0.05)
    assert action_value == pytest.approx(exact, rel=0.05, abs=0.05)
