"""PPO: one step of it is A2C's, what it stores is what it acted on, and it learns what it must in known worlds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world
from shared_runs import CHUNK, mesh_of, starts, trained
from shared_runs import learner as shared_learner
from tiny_runs import in_world, probe_world, tiny_network, tiny_params, tiny_scene

from ialp_jax.artifacts import InputError
from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step
from ialp_jax.methods.named.ppo import PPOConfig, PPOHyper, PPOLearner
from ialp_jax.policies.window import window_after
from ialp_jax.worlds.simulator import SimulatorConfig

pytestmark = pytest.mark.usefixtures("batched_keys")
RULES = SimulatorConfig(turn_cap=3, keep_rejected=False, rejection_threshold=0.5)
WORLD = random_world(users=6, items=14, history=4)


def learner_of(encoder="gru", config=None, rollout=6, **stream):
    scene = tiny_scene(tiny_network(encoder=encoder), RULES, rollout=rollout, **stream)
    return PPOLearner(scene, config or PPOConfig())


def begun(learner, hyper):
    params = tiny_params(learner.scene.network)
    return jax.jit(learner.init)(jax.random.key(3), hyper, in_world(WORLD), (params,))


def served(learner, run, hyper):
    """The rollout that its next update would learn from."""

    def serve(run):
        return learner.serve(run.serving, learner.actor(run, hyper, in_world(WORLD)), in_world(WORLD))

    return jax.jit(serve)(run).transitions


@pytest.mark.parametrize("encoder", ["gru", "sasrec"])
def test_one_epoch_in_one_piece_is_a2cs_step(encoder):
    """A2C's loss on the features that the window gives, V and Q's weights the same but for Q, which PPO leaves alone."""
    hyper = PPOHyper(entropy=0.3, value_weight=0.7, discount=0.9, trace=0.8)
    learner = learner_of(encoder, PPOConfig(epochs=1, minibatches=1))
    network, run = learner.scene.network, begun(learner, hyper)
    now = served(learner, run, hyper)
    truncated = now.done & ~now.terminated
    assert now.terminated.any() and truncated.any() and not now.done.all() and not now.appended.all()
    a2c = GradientHyper(entropy=0.3, value_weight=0.7, action_value_weight=0.0, discount=0.9, trace=0.8)

    @jax.jit
    def step(params):
        def loss(params):
            reading = jax.vmap(partial(network.begin, params))
            after = jax.vmap(window_after)(now.extras.window, now.action, now.feedback, now.appended)
            parts = network, reading(now.extras.window), reading(after), now, now.extras.statistics
            return actor_critic_loss(params, *parts, None, a2c)[0]

        return gradient_step(params, run.optimiser, jax.grad(loss)(params), a2c)[0]

    found, metrics = jax.jit(learner.update)(run, hyper, in_world(WORLD))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found.params, step(run.params))
    assert float(metrics["kl"]) == pytest.approx(0.0, abs=1e-6) and float(metrics["clip_fraction"]) == 0.0
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), found.params, run.params)
    assert moved["items"] > 1e-4 and all(step == 0.0 for step in jax.tree.leaves(moved["advantage_head"]))


def test_every_epoch_goes_through_all_turns_in_an_order_of_its_own():
    learner = learner_of(config=PPOConfig(epochs=20, minibatches=3))
    order = np.asarray(learner.order(jax.random.key(0)))
    assert order.shape == (60, 2)
    epochs = order.reshape(20, 6)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(6), (20, 1)))
    assert len(np.unique(epochs, axis=0)) > 10


@pytest.mark.parametrize("pieces", [4, 7])
def test_minibatches_must_divide_the_rollout(pieces):
    with pytest.raises(
        InputError, match=r"column methods\.ppo\.minibatches: .* 6 turns .* use one of 1, 2, 3, 6"
    ):
        learner_of(config=PPOConfig(minibatches=pieces))


def test_masked_items_get_no_probability():
    """Neither when it acts nor in its loss, where the probabilities of the permitted items sum to 1."""
    learner = learner_of()
    hyper = PPOHyper(learning_rate=0.05)
    run = begun(learner, hyper)
    update = jax.jit(learner.update)
    for _ in range(3):
        run, _ = update(run, hyper, in_world(WORLD))
    now = served(learner, run, hyper)
    assert not np.any(np.asarray(now.limits.excluded) == np.asarray(now.action)[..., None])
    decisions = jax.jit(learner.decisions)(run.params, now, hyper)
    first = jax.tree.map(lambda leaf: leaf[0, :1], decisions)
    permitted = np.setdiff1d(np.arange(14), np.asarray(first.limits.excluded))
    items = jnp.asarray(permitted, jnp.int32)
    rows = jax.tree.map(lambda leaf: jnp.repeat(leaf, len(items), axis=0), first).replace(action=items)
    log_prob, entropy, _ = jax.jit(learner.judged)(run.params, rows)
    assert len(permitted) < 14 and np.exp(log_prob).sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(entropy, -np.sum(np.exp(log_prob) * log_prob), rtol=1e-4)


def test_devices_share_its_users(tmp_path):
    learner = PPOLearner(shared_learner().scene, PPOConfig(epochs=2, minibatches=2))
    start = starts(learner, 1, PPOHyper())
    alone, shared = (
        trained(tmp_path / str(mesh is None), mesh, 1, learner, PPOHyper(), start, until=CHUNK).run
        for mesh in (None, mesh_of(1, 4))
    )
    for a, b in zip(
        *(jax.tree.leaves((run.serving.ledger, run.params)) for run in (alone, shared)), strict=True
    ):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-4)  # fmt: skip


ITEMS, SEEDS, UPDATES = 9, 12, 200
HISTORIES = [[ITEMS, 0], [ITEMS, 1]]


@partial(jax.jit, static_argnames="config")
def late_reward(world, config):
    """Of every seed in the last fifth of its run."""
    network, data = tiny_network(ITEMS, block_rows=256), in_world(world)
    scene = tiny_scene(
        network, SimulatorConfig(turn_cap=4, window=2), users=48, rollout=4, updates=UPDATES, pool=16
    )
    learner, hyper = PPOLearner(scene, config), PPOHyper(learning_rate=5e-3, discount=0.9, entropy=0.05)

    def one_seed(key):
        param_key, key = jax.random.split(key)
        run = learner.init(key, hyper, data, (network.init(param_key, 2),))
        metrics = jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=UPDATES)[1]
        return jnp.mean(metrics["reward"][-UPDATES // 5 :])

    return jax.vmap(one_seed)(jax.random.split(jax.random.key(0), SEEDS))


IN_PIECES = PPOConfig(epochs=2, minibatches=4, value_clip=True)


@pytest.mark.parametrize("config", [PPOConfig(), IN_PIECES], ids=str)
def test_it_finds_the_items_that_pay(config):
    """Items 2 to 5 pay, for everybody, and a session has four turns: the optimum is 1, at random a third."""
    pays = np.isin(np.arange(ITEMS), (2, 3, 4, 5)).astype(float)
    reward = late_reward(probe_world([pays, pays], HISTORIES), config)
    assert np.mean(reward) > 0.95, reward


def test_it_reads_the_history():
    """Who has met item 0 likes items 1 to 4, who has met item 1 likes items 5 to 8: the optimum is 1, blind half pays."""
    pays = [np.isin(np.arange(ITEMS), liked).astype(float) for liked in ((1, 2, 3, 4), (5, 6, 7, 8))]
    reward = late_reward(probe_world(pays, HISTORIES), IN_PIECES)
    assert np.mean(reward) > 0.95, reward
