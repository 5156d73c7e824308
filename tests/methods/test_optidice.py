"""OptiDICE on logged rows: what it learns from logs alone, its log-probabilities of drawn items, and what a step holds."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, NETWORK, OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tiny_runs import tiny_network, tiny_params, tiny_scene

from ialp_jax.learning.dice import DiceHyper, StepNumbers
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.bc import CloningHyper, CloningLearner
from ialp_jax.methods.named.optidice import (
    DiceConfig,
    DiceLearner,
    Extraction,
    ExtractionConfig,
    ExtractionLearner,
    drawn_log_probs,
)

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = DiceHyper(learning_rate=5e-3, discount=0.5, alpha=0.2)
STEP = StepNumbers(learning_rate=5e-3)


def learners(weights, policy):
    return (
        (DiceLearner(scene(1), weights), HYPER),
        (ExtractionLearner(scene(1), Extraction(weights, policy)), STEP),
    )


@pytest.mark.parametrize(
    "name, changes, extraction",
    [
        *((name, {}, "cloning") for name in PAYS),
        ("by the history", {"divergence": "chi2", "expectation": "sampled"}, "cloning"),
        ("by the history", {}, "projection"),
    ],
)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(name, changes, extraction):
    """And is far above cloning of the policy that logged, on the same sessions. Feedback is no matter of chance here."""
    world = world_of(name)
    logged = logged_in(world)
    weights = replace(DiceConfig(updates=400, batch=128), **changes)
    policy = ExtractionConfig(updates=300, batch=128, extraction=extraction)
    reward = greedy_reward(learners(weights, policy), 4, world, logged)
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
    if not changes and extraction == "cloning":
        clone = CloningLearner(scene(1), OfflineConfig(updates=150, batch=128))
        cloned = greedy_reward(((clone, CloningHyper(learning_rate=5e-3, liked=0.0)),), 4, world, logged)
        assert np.mean(reward) > np.mean(cloned) + 0.2, (reward, cloned)


def test_log_probabilities_of_drawn_items_are_those_of_the_softmax():
    params, logged = tiny_params(NETWORK, 2), logged_in(world_of("by the history"), sessions=3)
    rows = logged.rows(jnp.arange(6), ITEMS)
    drawn = jnp.asarray(np.random.default_rng(0).integers(0, ITEMS, (4, 6)), jnp.int32)
    found, _, of_logged = drawn_log_probs(NETWORK, params, rows, drawn)
    features = NETWORK.begin(params, rows.window).features
    items, bias = NETWORK.catalogue(params)
    logits = np.array(NETWORK.query(params, features) @ items.T + bias[None])
    masked = logits.copy()
    for row, excluded in enumerate(np.asarray(rows.limits.excluded)):
        masked[row, excluded[excluded < ITEMS]] = -np.inf
    total = np.log(np.exp(masked).sum(axis=1))
    place = np.arange(6)
    np.testing.assert_allclose(found, logits[place[None], np.asarray(drawn)] - total, atol=1e-5)
    np.testing.assert_allclose(of_logged, logits[place, np.asarray(rows.action)] - total, atol=1e-5)


@pytest.mark.parametrize("extraction", ["cloning", "projection"])
def test_a_step_with_a_hundred_thousand_items_takes_less_than_two_gigabytes(extraction):
    """By what its compiled program holds; nothing is run."""
    network = tiny_network(100_000, width=32, block_rows=256)
    logged = logged_in(world_of("by the history"), sessions=20)
    start = jax.eval_shape(lambda: network.init(jax.random.key(0), 2))
    first = DiceLearner(tiny_scene(network), DiceConfig())
    second = ExtractionLearner(
        tiny_scene(network), Extraction(DiceConfig(), ExtractionConfig(extraction=extraction))
    )
    for learner, hyper in ((first, HYPER), (second, STEP)):
        run = jax.eval_shape(
            lambda key, start, learner=learner, hyper=hyper: learner.init(key, hyper, Data(), (start,)),
            jax.random.key(0), start,
        )  # fmt: skip
        start = jax.eval_shape(learner.product, run)
        update = jax.jit(
            lambda run, logged, learner=learner, hyper=hyper: learner.update(run, hyper, Data(logged=logged))
        )
        needed = update.lower(run, logged).compile().memory_analysis()
        held = needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes
        assert held < 2e9, held
