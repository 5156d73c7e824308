"""LINVIT: it knows each user's row of the table, ends where the closed form says, and lets go of the table in time."""

import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from shared_runs import CHUNK, mesh_of, shared_world
from shared_runs import ITEMS as SHARED_ITEMS
from shared_runs import NETWORK as SHARED_NETWORK
from shared_runs import learner as shared_learner
from tabular import soft_backup
from tiny_runs import observations, probe_world, tiny_network, tiny_params, tiny_scene

from ialp_jax.methods.base import Data
from ialp_jax.methods.named.linvit import LinvitHyper, LinvitLearner
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.loop import LoopConfig, seed_keys, train
from ialp_jax.training.progress import step_bar
from ialp_jax.worlds.simulator import SimulatorConfig
from ialp_jax.worlds.types import Situation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")


def test_the_actor_notes_what_its_users_row_says():
    """Written out in NumPy, for users in no order, with items that may not be recommended."""
    generator, items = np.random.default_rng(0), 14
    table, users = generator.uniform(size=(6, items)), np.array([4, 0, 4, 5])
    excluded = np.array([[0, 3], [items, 2], [9, items], [items, items]])
    network = tiny_network(items)
    learner = LinvitLearner(tiny_scene(network))
    hyper = LinvitHyper(prior_temperature=0.3, prior_floor=0.1)
    seen = observations(np.full((4, 4), items), np.zeros((4, 4)))
    situation = Situation(jnp.asarray(users, jnp.int32), seen, limits(jnp.asarray(excluded, jnp.int32)))
    data = Data(prior=jnp.asarray(table, jnp.float32))
    world = probe_world(np.ones((2, items)), [[items] * 4] * 2)
    run = learner.init(jax.random.key(0), hyper, data.replace(world=world), (tiny_params(network),))
    actor = learner.actor(run, hyper, data)
    act = jax.jit(lambda key: actor.act(key, actor.begin(seen), situation))
    for key in jax.random.split(jax.random.key(1), 8):
        item, noted = map(np.asarray, (lambda item, decision: (item, decision.prior))(*act(key)))
        for row, user in enumerate(users):
            left = np.setdiff1d(np.arange(items), excluded[row])
            weights = np.exp(table[user, left] / 0.3)
            exact = 0.9 * weights / weights.sum() + 0.1 / len(left)
            assert item[row] in left
            assert np.exp(noted[row]) == pytest.approx(exact[left == item[row]][0], rel=1e-5)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, [1.0, 0.5, 0.0, 0.0]), (math.inf, [1.0, 1.0, 1.0, 1.0])]
)
def test_the_weight_falls_to_zero_or_stays(share, expected):
    world = probe_world([[0.0, 0.5, 1.0]], [[3]])
    learner, network = bandit(4)
    data, hyper = Data(world=world, prior=jnp.zeros((1, 3))), LinvitHyper(kl=0.3, kl_share=share)
    run, update = (
        learner.init(jax.random.key(0), hyper, data, (tiny_params(network, 1),)),
        jax.jit(learner.update),
    )
    weights = []
    for _ in range(4):
        run, metrics = update(run, hyper, data)
        weights.append(float(metrics["kl_weight"]))
    np.testing.assert_allclose(weights, 0.3 * np.array(expected), atol=1e-6)


def bandit(updates):
    """One-turn sessions."""
    network, rules = tiny_network(3, block_rows=256), SimulatorConfig(turn_cap=1, rules=(), repeats="allowed")
    return LinvitLearner(tiny_scene(network, rules, users=64, rollout=4, updates=updates, pool=4)), network


TABLE, PAYS = np.array([0.7, 0.2, 0.1]), np.array([0.0, 1.0, 2.0])


@jax.jit
def ends_at(key, hyper):
    """The policy and the value of one seed after training in a world that pays half of `PAYS`."""
    learner, network = bandit(300)
    table = jnp.log(jnp.asarray(TABLE, jnp.float32))[None]
    data = Data(world=probe_world([PAYS / 2], [[3]]), prior=table)
    param_key, key = jax.random.split(key)
    run = learner.init(key, hyper, data, (network.init(param_key, 1),))
    run, _ = jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=300)
    features = network.begin(run.params, observations([[3]], [[0.0]])).features
    items, bias = network.catalogue(run.params)
    logits = network.query(run.params, features)[0] @ items.T + bias
    return jax.nn.softmax(logits), network.value(run.params, features)[0]


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_it_ends_where_the_closed_form_says(weight):
    """The world pays half of (0, 1, 2), so half the weight: the same policy, and half the value."""
    hyper = LinvitHyper(
        learning_rate=5e-3, discount=0.0, entropy=0.0, kl=weight / 2, kl_share=math.inf, prior_temperature=1.0,
        prior_floor=1e-6,
    )  # fmt: skip
    hyper = jax.tree.map(jnp.float32, hyper)
    policies, values = jax.vmap(ends_at, (0, None))(jax.random.split(jax.random.key(0), 8), hyper)
    value, policy = soft_backup(jnp.asarray(PAYS, jnp.float32), jnp.asarray(TABLE, jnp.float32), weight)
    np.testing.assert_allclose(np.mean(policies, axis=0), policy, atol=0.05)
    assert np.mean(values) == pytest.approx(float(value) / 2, abs=0.05)


ITEMS, SEEDS, UPDATES = 9, 12, 240


@jax.jit
def late_reward(world, prior):
    """Of every seed in the last fifth of its run, the table's weight 0 by half of it."""
    network, data = tiny_network(ITEMS, block_rows=256), Data(world=world, prior=prior)
    scene = tiny_scene(
        network, SimulatorConfig(turn_cap=4, window=2), users=48, rollout=8, updates=UPDATES, pool=16
    )
    learner, hyper = LinvitLearner(scene), LinvitHyper(learning_rate=2e-2, discount=0.9)

    def one_seed(key):
        param_key, key = jax.random.split(key)
        run = learner.init(key, hyper, data, (network.init(param_key, 2),))
        metrics = jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=UPDATES)[1]
        return jnp.mean(metrics["reward"][-UPDATES // 5 :])

    return jax.vmap(one_seed)(jax.random.split(jax.random.key(0), SEEDS))


MISLED = jnp.asarray(np.isin(np.arange(ITEMS), (4, 5, 6, 7)), jnp.float32)
"""Scores of a table that is right about half of what anyone likes below."""
LIKED = {
    "everybody likes items 2 to 5": ((2, 3, 4, 5), (2, 3, 4, 5)),
    "who has met item 0 likes items 1 to 4, who has met item 1 likes items 5 to 8": ((1, 2, 3, 4), (5, 6, 7, 8)),
}  # fmt: skip


@pytest.mark.parametrize("liked", LIKED)
def test_it_lets_go_of_a_table_that_misleads(liked):
    """Four turns, four items that pay: the optimum is 1."""
    pays = [np.isin(np.arange(ITEMS), items).astype(float) for items in LIKED[liked]]
    reward = late_reward(probe_world(pays, [[ITEMS, 0], [ITEMS, 1]]), jnp.stack([MISLED, MISLED]))
    assert np.mean(reward) > 0.95, reward


def test_devices_share_its_users(tmp_path):
    learner, hyper = LinvitLearner(shared_learner().scene), LinvitHyper()
    table = np.random.default_rng(0).uniform(size=(40, SHARED_ITEMS))
    data = Data(world=shared_world(), prior=jnp.asarray(table, jnp.float32))

    def begin(key):
        param_key, key = jax.random.split(key)
        return learner.init(key, hyper, data, (SHARED_NETWORK.init(param_key, 4),))

    def run_on(mesh):
        start = lambda: jax.jit(jax.vmap(begin))(seed_keys(np.arange(1), 1))  # noqa: E731
        loop = LoopConfig(chunk=CHUNK, checkpoint_seconds=1e9)
        store = CheckpointStore(tmp_path / str(mesh is None), "linvit")
        with step_bar("name", Console(file=io.StringIO())) as watch:
            run = train(learner, start, hyper, data, loop, store, watch, until=CHUNK, mesh=mesh).run
        return jax.tree.leaves((run.params, run.serving.ledger))

    for a, b in zip(run_on(None), run_on(mesh_of(1, 4)), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-4)
