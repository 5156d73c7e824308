"""RLP: which of a policy's samples are taken for better, when that is wrong, and what both controls do."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import random_offline_factors
from small_optima import ITEMS, NETWORK, OPTIMUM, PAYS, logged_in, scene, world_of
from tiny_runs import tiny_network, tiny_params, tiny_scene

from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.judged_rewards import OwnedFactors
from ialp_jax.methods.learners.rewarded import RewardedHyper, RewardedLearner, first_reward
from ialp_jax.methods.learners.self_labels import self_label
from ialp_jax.methods.named.rlp import RLP, RefreshHyper, RefreshLearner, RLPConfig
from ialp_jax.recommenders.clusters import clusters_of
from ialp_jax.recommenders.comparisons import fit_rewards
from ialp_jax.serving.play import play

pytestmark = pytest.mark.usefixtures("batched_keys")
SAMPLES = jnp.array([3, 3, 7, 3, 5, 3, 7, 3, 3, 1])
FACTORS = OwnedFactors(random_offline_factors(ITEMS, 8), jnp.arange(2, dtype=jnp.int32))
WORTH = jnp.asarray(PAYS["the same for everybody"], jnp.float32)
HYPER = RewardedHyper(learning_rate=1e-2, discount=0.5, prior_variance=10.0)
labels = jax.jit(jax.vmap(self_label, (0, None, None, None)))


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def data_of(table=WORTH):
    world = world_of("the same for everybody")
    return Data(world=world, logged=logged_in(world, 20), prior=table, fitted=FACTORS)


def test_the_written_down_samples():
    """Six of ten are 3: confidence .6, accepted at .5 and .6, not beyond; what loses is 7, 5 or 1."""
    reward = jnp.arange(10.0)
    found = labels(keys(200), SAMPLES, reward, 0.5)
    np.testing.assert_allclose(found.confidence, 0.6, rtol=1e-6)
    assert np.all(found.accepted) and np.all(found.winner == 8)  # of the sixes' rewards the highest
    assert set(np.asarray(SAMPLES)[np.asarray(found.loser)].tolist()) == {7, 5, 1}
    assert np.all(labels(keys(2), SAMPLES, reward, 0.6).accepted)
    assert not np.any(labels(keys(2), SAMPLES, reward, 0.7).accepted)
    assert not np.any(labels(keys(2), SAMPLES, reward, 1.1).accepted)


def test_samples_of_one_group_are_no_pair():
    assert not np.any(labels(keys(2), jnp.full(10, 3), jnp.arange(10.0), 0.5).accepted)


def test_where_the_commonest_is_worse_own_labels_are_worse_than_chance():
    """The reward is the truth, yet of pairs so labelled few are right; where the commonest is better, all are."""
    truth = jnp.where(SAMPLES == 3, 0.2, 0.8) - 0.001 * jnp.arange(10.0)
    for sign, accuracy in ((1.0, 0.0), (-1.0, 1.0)):
        found = labels(keys(100), SAMPLES, sign * truth, 0.5)
        right = sign * truth[found.winner] > sign * truth[found.loser]
        assert np.mean(right) == accuracy
    mixed = jnp.array([0.9, 0.1, 0.5, 0.2, 0.95, 0.1, 0.97, 0.3, 0.2, 0.99])
    found = labels(keys(300), SAMPLES, mixed, 0.5)
    assert np.mean(mixed[found.winner] > mixed[found.loser]) < 0.5


def test_clusters_are_those_of_points_that_lie_together():
    generator = np.random.default_rng(0)
    centres = np.repeat(10.0 * np.eye(3), 20, axis=0)
    points = jnp.asarray(centres + generator.normal(size=centres.shape), jnp.float32)
    groups = [np.asarray(clusters_of(key, points, 3)).reshape(3, 20) for key in keys(8)]
    whole = [np.all(group == group[:, :1]) and len(np.unique(group)) == 3 for group in groups]
    assert any(whole)  # from some starts; others may leave two centres in one
    assert len(np.unique(np.asarray(clusters_of(jax.random.key(0), points[:2], 5)))) == 2


def test_the_first_reward_ranks_as_the_table_does():
    reward = first_reward(jax.random.key(0), HYPER, data_of(), 300, 5)
    assert int(reward.asked.count) == 300 and reward.asked.answer.shape == (305,)
    margin = reward.asked.difference[:300] @ reward.theta[0]
    sure = np.asarray(reward.asked.answer[:300]) != 0.5
    assert np.mean((margin > 0)[sure] == (reward.asked.answer[:300] > 0.5)[sure]) > 0.98


def refreshed(config, hyper, updates=3):
    """A run of the refresh from a policy with random parameters."""
    learner, data = RefreshLearner(scene(updates, users=8), config), data_of()
    params = tiny_params(NETWORK, 2, spread=1.0)
    run = learner.init(jax.random.key(0), hyper, data, (params,))

    def step(run, _):
        return learner.update(run, hyper, data)

    return run, *jax.jit(lambda run: jax.lax.scan(step, run, None, length=updates))(run)


def test_a_confidence_above_one_leaves_the_reward_of_the_judgements_alone():
    config = RLPConfig(judgements=50, pairs=12, samples=6, clusters=4)
    before, after, metrics = refreshed(config, RefreshHyper(confidence=1.1))
    assert not np.any(metrics["pairs"]) and not np.any(metrics["accepted"])
    np.testing.assert_allclose(after.reward.theta, before.reward.theta, atol=2e-3)
    plain = fit_rewards(
        before.reward.theta, jnp.zeros_like(before.reward.theta), before.reward.asked, 1.0, 200
    )
    np.testing.assert_allclose(before.reward.theta, plain, atol=5e-3)


@pytest.mark.parametrize("refresh", ["samples", "table"])
def test_pairs_are_as_many_as_wanted_and_whose_word_they_are(refresh):
    """Its own samples always say that the first is better; the table says what it thinks of both."""
    config = RLPConfig(refresh=refresh, judgements=50, pairs=12, samples=6, clusters=4)
    before, after, metrics = refreshed(config, RefreshHyper(confidence=0.2))
    added = slice(50, int(after.reward.asked.count))
    assert 50 < added.stop <= 62 and metrics["pairs"][-1] == added.stop - 50
    answer, difference = (
        np.asarray(getattr(after.reward.asked, name)[added]) for name in ("answer", "difference")
    )
    assert np.all(np.abs(difference).max(axis=1) > 0)
    assert np.all(answer == 1.0) if refresh == "samples" else set(answer.tolist()) - {1.0}
    assert np.any(np.asarray(after.reward.theta) != np.asarray(before.reward.theta))


def test_the_controls_stages():
    """None has one policy; the others a refresh, and a policy that starts where the first one did."""
    names = {
        kind: [stage.name for stage in RLP(RLPConfig(refresh=kind)).stages(None)]
        for kind in ("none", "samples", "table")
    }
    assert names["none"] == ["RLP first policy", "rlp"]
    assert (
        names["samples"] == names["table"] == ["RLP first policy", "RLP refresh", "RLP second policy", "rlp"]
    )
    first, _, second, _ = RLP().stages(None)
    assert first.after[0] is second.after[0] and second.config == 0


def test_a_policy_by_the_reward_serves_what_the_table_prefers():
    """Greedily, of what is served nearly all is worth something, before and after a refresh by the table."""
    data = data_of()
    first, refresh = (
        RewardedLearner(scene(100), 200),
        RefreshLearner(scene(10), RLPConfig(refresh="table", judgements=200, pairs=100)),
    )
    numbers, second = RefreshHyper(prior_variance=10.0), replace(first, config=0)

    def trained(learner, hyper, key, start):
        run = learner.init(key, hyper, data, start)
        return jax.lax.scan(
            lambda run, _: (learner.update(run, hyper, data)[0], None), run, None, length=learner.updates
        )[0]

    def worth(run, key):
        actor = first.actor(run, HYPER, data.hidden(), True)
        return jnp.mean(WORTH[0][play(key, actor, first.scene.simulator, data.world, 100).items])

    @jax.jit
    def earned(key):
        start_key, run_key, play_key = jax.random.split(key, 3)
        params = NETWORK.init(start_key, 2)
        before = trained(first, HYPER, run_key, (params,))
        reward = trained(refresh, numbers, run_key, (before.params,)).reward
        after = trained(second, HYPER, run_key, (params, reward))
        return jnp.stack([worth(before, play_key), worth(after, play_key)])

    reward = jax.vmap(earned)(keys(2))
    assert np.all(np.mean(reward, axis=0) >= 0.95 * OPTIMUM), reward


@pytest.mark.parametrize("kind", [RewardedLearner, RefreshLearner])
def test_an_update_with_a_hundred_thousand_items_takes_less_than_two_gigabytes(kind):
    """By what its compiled program holds; nothing is run."""
    many, numbers = 100_000, RefreshHyper() if kind is RefreshLearner else RewardedHyper()
    network, world = tiny_network(many, width=32, block_rows=256), world_of("by the history")
    learner = kind(tiny_scene(network, users=64, rollout=8))
    factors = random_offline_factors(ITEMS, 3)
    shapes = jax.eval_shape(
        lambda: (factors.replace(item=jnp.zeros((many, 3)), offset=jnp.zeros(many)), jnp.zeros((2, many)))
    )

    def data_of_many(inputs):
        return Data(world=world, prior=inputs[1], fitted=OwnedFactors(inputs[0], FACTORS.owner))

    def begin(key, inputs):
        return learner.init(key, numbers, data_of_many(inputs), (network.init(jax.random.key(0), 2),))

    run = jax.eval_shape(begin, jax.random.key(0), shapes)
    update = jax.jit(lambda run, inputs: learner.update(run, numbers, data_of_many(inputs)))
    for program in (update.lower(run, shapes), jax.jit(begin).lower(jax.random.key(0), shapes)):
        needed = program.compile().memory_analysis()
        assert needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes < 2e9
