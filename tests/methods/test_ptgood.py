"""PTGOOD: the rate's written-down number, plans that go where nobody was, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import random_offline_factors
from small_optima import ITEMS, NETWORK, OPTIMUM, logged_in, scene, world_of
from tiny_runs import tiny_network, tiny_params, tiny_scene

from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.density import DensityHyper, Encoder, Gaussian, bottleneck_loss, encoded, rate
from ialp_jax.methods.learners.novelty import NOVELTIES
from ialp_jax.methods.learners.planning import Knowledge, plan_scores, planning_actor
from ialp_jax.methods.learners.soft import CRITICS, soft_params
from ialp_jax.methods.named.ptgood import PlannerConfig, PlannerHyper, PlanningOnline
from ialp_jax.policies.window import window_after
from ialp_jax.recommenders.calibration import Answers
from ialp_jax.recommenders.feedback_ensemble import disagreement, fit_members, member_feedback, pair_rows
from ialp_jax.recommenders.fold_in import tastes
from ialp_jax.serving.play import play
from ialp_jax.worlds.types import Observation, Situation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
FACTORS = random_offline_factors(ITEMS, 3)
USERS = 6
WINDOW = Observation(jnp.array([[ITEMS, 0], [ITEMS, 1]] * 3), jnp.array([[0.0, 1.0]] * USERS))
SEEN = Situation(jnp.zeros(USERS, jnp.int32), WINDOW, limits(WINDOW.items))
SILENT = jnp.zeros((2, 9))
"""Members that predict a feedback of 0 of everything."""


def test_the_rates_golden_number():
    """z = mean of N((.5, -1), (.5, .25)^2), m = N(0, 1)."""
    encoded = Gaussian(jnp.array([0.5, -1.0]), jnp.log(jnp.array([0.5, 0.25])))
    assert float(rate(encoded)) == pytest.approx(2.704442, abs=1e-6)
    normal = Gaussian(jnp.zeros(2), jnp.zeros(2))
    difference = encoded.log_prob(encoded.mean) - normal.log_prob(encoded.mean)
    assert float(difference) == pytest.approx(2.704442, abs=1e-5)


def test_pairs_unlike_the_recorded_ones_have_a_higher_rate():
    """Recorded points are normal, others uniform over a square six deviations wide: their ranks tell them apart (AUC)."""
    generator = np.random.default_rng(0)
    recorded = jnp.asarray(generator.normal(size=(1000, 2)), jnp.float32)
    others = jnp.asarray(generator.uniform(-6, 6, (1000, 2)), jnp.float32)
    encoder, hyper, keys = (
        Encoder(8, 32),
        DensityHyper(learning_rate=3e-3),
        jax.random.split(jax.random.key(0), 3),
    )
    params = {
        name: encoder.init(key, recorded)["params"]
        for name, key in zip(("forward", "backward"), keys[:2], strict=True)
    }

    def step(parts, key):
        draw_key, loss_key = jax.random.split(key)
        rows = recorded[jax.random.randint(draw_key, (128,), 0, 1000)]
        slope = jax.grad(bottleneck_loss, has_aux=True)
        gradients, metrics = slope(parts[0], encoder, rows, loss_key, hyper.compression)
        return gradient_step(*parts, gradients, hyper)[:2], metrics["loss"]

    start = (params, optimiser().init(params))
    (params, _), losses = jax.jit(lambda: jax.lax.scan(step, start, jax.random.split(keys[2], 300)))()
    low, high = (np.asarray(rate(encoded(encoder, params["forward"], rows))) for rows in (recorded, others))
    assert np.mean(losses[-50:]) < 0.5 * np.mean(losses[:50])
    assert (high[:, None] > low[None]).mean() > 0.9


class Later:
    """Novelty 1 of item 5 after item 2 was answered with 0; of all else 0."""

    def of(self, known, key, item, taste, items):
        goal = tastes(FACTORS, window_after(WINDOW, *after_item(2)))[:2]
        there = jnp.any(jnp.all(jnp.abs(taste[:, None] - goal[None]) < 1e-4, axis=-1), axis=1)
        return (there[:, None] & (items == 5)).astype(jnp.float32)


def after_item(item):
    return jnp.full(USERS, item, jnp.int32), jnp.zeros(USERS), jnp.ones(USERS, bool)


def plan(config, key=0, novelty=None, known=None, noise=50.0, params=None):
    knowledge = Knowledge(FACTORS, SILENT, novelty or Later(), known)
    arguments = NETWORK, params or tiny_params(NETWORK, 2), SEEN, knowledge, config
    run = jax.jit(lambda key: plan_scores(key, *arguments, PlannerHyper(noise=noise)))
    first, score = run(jax.random.key(key))
    return np.asarray(first), np.asarray(score)


def test_two_levels_go_where_one_is_indifferent():
    """Nothing is novel but what lies two recommendations away."""
    first, score = plan(PlannerConfig(depth=2, proposals=80, answers=2))
    best = np.take_along_axis(first, score.argmax(axis=1)[:, None], axis=1)
    assert np.all(best == 2) and np.all((score > 0) == (first == 2))
    np.testing.assert_allclose(
        score[first == 2].mean(), 0.95 / 8 * 0.98, rtol=0.3
    )  # about one of the permitted
    first, score = plan(PlannerConfig(depth=1, proposals=80))
    assert not np.any(score) and len(set(first[:, 0].tolist())) > 1


def test_without_noise_every_proposal_is_the_policys_item():
    params = tiny_params(NETWORK, 2)
    policy = planning_actor(NETWORK, params, Knowledge(FACTORS, SILENT, NOVELTIES["chance"], ()),
                            PlannerConfig(), PlannerHyper(planned=1.0, noise=1e-4))  # fmt: skip
    items, decision = jax.jit(policy.act)(jax.random.key(0), (), SEEN)
    never = planning_actor(NETWORK, params, Knowledge(FACTORS, SILENT, NOVELTIES["chance"], ()),
                           PlannerConfig(), PlannerHyper(planned=1.0), greedy=True)  # fmt: skip
    greedy, other = jax.jit(never.act)(jax.random.key(1), (), SEEN)
    assert items.tolist() == greedy.tolist()
    assert np.all(decision.planned) and not np.any(other.planned)


def test_counts_fall_with_what_was_met_by_alike_users():
    novelty, taste = NOVELTIES["counts"], tastes(FACTORS, WINDOW)
    given = Answers(taste, jnp.array([2, 2, 2, 3, 3, 4]), jnp.zeros(USERS))
    known = novelty.begin(jax.random.key(0), given, FACTORS.item, ())
    groups = np.asarray(known.group(taste))
    asked = jnp.tile(jnp.arange(5, dtype=jnp.int32)[None], (USERS, 1))
    said = np.asarray(novelty.of(known, jax.random.key(0), FACTORS.item, taste, asked))
    for user in range(USERS):
        for item in range(5):
            met = sum(
                groups[other] == groups[user] and int(given.item[other]) == item for other in range(USERS)
            )
            assert said[user, item] == pytest.approx((1 + met) ** -0.5)
    later = novelty.of(novelty.after(known, taste, given.item), jax.random.key(0), FACTORS.item, taste, asked)
    assert np.all(np.asarray(later)[:, :2] == 1.0) and later[0, 2] < said[0, 2]


def test_members_agree_on_what_was_answered_often_alone():
    """Answers that are linear in the features are recovered; of an item that nobody answered members differ."""
    generator = np.random.default_rng(0)
    taste = jnp.asarray(generator.normal(size=(400, 3)), jnp.float32)
    item = jnp.asarray(generator.integers(0, ITEMS - 1, 400), jnp.int32)
    truth = jnp.asarray(0.03 * generator.normal(size=9), jnp.float32).at[8].set(0.5)
    feedback = pair_rows(FACTORS, taste, item) @ truth
    members = fit_members(jax.random.key(0), FACTORS, Answers(taste, item, feedback), 4).mean
    said = member_feedback(FACTORS, members, taste, item[:, None])
    np.testing.assert_allclose(np.mean(said, axis=0)[:, 0], np.clip(feedback, 0, 1), atol=0.02)
    few = Answers(taste[:8], item[:8], feedback[:8])
    unsure = member_feedback(
        FACTORS, fit_members(jax.random.key(0), FACTORS, few, 4).mean, taste, item[:, None]
    )
    assert float(jnp.mean(disagreement(unsure))) > 5 * float(jnp.mean(disagreement(said)))


def learner_of(updates):
    config = PlannerConfig(novelty="counts", gradient_steps=3, online_rows=1, logged_rows=32, kept_turns=64,
                           proposals=4, answers=1, members=2)  # fmt: skip
    return PlanningOnline(scene(updates), config)


def test_it_nears_the_optimum():
    """Greedily, from untrained parameters and the recorded sessions, while half of its turns are planned."""
    world, learner = world_of("by the history"), learner_of(120)
    hyper = PlannerHyper(learning_rate=5e-3, discount=0.9, entropy_share=0.5, target_rate=0.02)
    data = Data(world=world, logged=logged_in(world, sessions=200), fitted=FACTORS)

    @jax.jit
    def earned(key):
        start_key, critic_key, run_key, play_key = jax.random.split(key, 4)
        params = soft_params(critic_key, NETWORK, NETWORK.init(start_key, 2), CRITICS, hyper, 2)
        run = learner.init(run_key, hyper, data, ((params, params),))
        run, metrics = jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=120)
        played = play(
            play_key, learner.actor(run, hyper, data.hidden(), True), learner.scene.simulator, world, 100
        )
        return jnp.sum(played.rewards) / jnp.sum(played.length.astype(jnp.float32)), metrics

    reward, metrics = jax.vmap(earned)(jax.random.split(jax.random.key(0), 2))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
    assert 0.4 < np.mean(metrics["planned"]) < 0.6 and np.all(np.asarray(metrics["gain"]) >= 0.0)


def test_an_update_with_a_hundred_thousand_items_takes_less_than_two_gigabytes():
    """By what its compiled program holds; nothing is run."""
    many = 100_000
    network, world = tiny_network(many, width=32, block_rows=256), world_of("by the history")
    config = PlannerConfig(novelty="counts", proposals=10, answers=2)
    learner = PlanningOnline(tiny_scene(network, users=64, rollout=4), config)
    hyper, logged = PlannerHyper(), logged_in(world, 20)
    factors = FACTORS.replace(item=jnp.zeros((many, 3)), offset=jnp.zeros(many))

    def begin(key, factors):
        params = soft_params(key, network, network.init(key, 2), CRITICS, hyper, 2)
        data = Data(world=world, logged=logged, fitted=factors)
        return learner.init(jax.random.fold_in(key, 1), hyper, data, ((params, params),))

    shapes = jax.eval_shape(lambda: factors)
    run = jax.eval_shape(begin, jax.random.key(0), shapes)
    update = jax.jit(
        lambda run, factors: learner.update(run, hyper, Data(world=world, logged=logged, fitted=factors))
    )
    needed = update.lower(run, shapes).compile().memory_analysis()
    assert needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes < 2e9
