"""A-iALP_ap as a mixture: against explicit enumeration, and how the weight moves."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_rows import ON, PRE, p_value, rows_of
from tiny_runs import in_world, observations, probe_world, tiny_network, tiny_params, tiny_scene

from ialp_jax.methods.named.a_ialp_ap_mixture import (
    MixtureConfig,
    MixtureHyper,
    MixtureLearner,
    choose_by_weight,
    mixture_actor,
    mixture_log_prob,
)
from ialp_jax.worlds.simulator import SimulatorConfig
from ialp_jax.worlds.types import Situation, limits


@pytest.mark.parametrize("weight", [0.0, 1e-6, 0.3, 1.0])
def test_the_mixtures_log_probability_is_the_log_of_the_mixture(weight):
    pre, on = np.array([0.5, 0.01, 0.2]), np.array([0.1, 0.6, 1e-4])
    found = mixture_log_prob(
        jnp.float32(weight), jnp.log(jnp.asarray(pre, jnp.float32)), jnp.log(jnp.asarray(on, jnp.float32))
    )
    np.testing.assert_allclose(found, np.log(weight * pre + (1 - weight) * on), atol=2e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_mixture_acts_by_its_weight(weight):
    """w = 1 is the pre-trained policy, w = 0 the online one, and between them items come at the mixture's rate."""
    item, choice = jax.jit(
        lambda key: choose_by_weight(key, rows_of(PRE), rows_of(ON), jnp.float32(weight), False)
    )(jax.random.key(0))
    item, mixture = np.asarray(item), weight * PRE + (1 - weight) * ON
    assert p_value(item, mixture) > 1e-3
    assert p_value(item, 0.95 * mixture + 0.05 * (mixture > 0) / np.sum(mixture > 0)) < 1e-3
    np.testing.assert_allclose(np.exp(choice.behaviour), mixture[item], rtol=1e-5)
    np.testing.assert_allclose(np.exp(choice.pretrained), PRE[item], rtol=1e-5)
    np.testing.assert_allclose(np.exp(choice.online.log_prob), ON[item], rtol=1e-5)


def test_the_greedy_mixture_takes_its_most_probable_item():
    for weight, best in ((1.0, 0), (0.0, 3), (0.4, 3), (0.9, 0)):
        item, _ = choose_by_weight(
            jax.random.key(0), rows_of(PRE, 2), rows_of(ON, 2), jnp.float32(weight), True
        )
        np.testing.assert_array_equal(item, [best, best])


ITEMS = 5


def bandit(pays):
    """One-turn sessions; items pay what `pays` says."""
    return probe_world([pays], [[ITEMS]])


def preferring(probabilities):
    """Parameters that recommend with these probabilities whatever the history; V and Q are zero."""
    params = jax.tree.map(jnp.zeros_like, tiny_params(tiny_network(ITEMS), 1))
    return {**params, "bias": jnp.log(jnp.asarray(probabilities, jnp.float32))}


@partial(jax.jit, static_argnums=0)
def weights(learner, hyper, world, pretrained, online):
    """Weight of the pre-trained policy at every update of a run."""
    data = in_world(world)
    run = learner.init(jax.random.key(0), hyper, data, (pretrained, online))
    return jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=learner.updates)[
        1
    ]["weight"]


def learner_of(schedule, updates=8):
    rules = SimulatorConfig(turn_cap=1, rules=(), repeats="allowed")
    network = tiny_network(ITEMS, block_rows=128)
    scene = tiny_scene(network, rules, users=64, rollout=2, updates=updates, pool=2, bins=2)
    return MixtureLearner(scene, MixtureConfig(schedule, feedback_steps=0))


EVEN = [0.2] * 5


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("constant", [0.6] * 8), ("annealed", [0.6, 0.45, 0.3, 0.15, 0, 0, 0, 0])],
)
def test_a_constant_weight_stays_and_an_annealed_one_falls_to_zero(kind, expected):
    hyper = MixtureHyper(weight=0.6, anneal=0.5)
    found = weights(learner_of(kind), hyper, bandit(EVEN), preferring(EVEN), preferring(EVEN))
    np.testing.assert_allclose(found, expected, atol=1e-6)


GOOD, BAD = [0.9, 0.025, 0.025, 0.025, 0.025], [0.025, 0.9, 0.025, 0.025, 0.025]
# The pre-trained policy takes much of an item that pays well and that the online policy hardly knows, and some
# of one that pays badly and that the online policy likes: its mean is the higher one.
RARE, COMMON = [0.5, 0.45, 0.02, 0.02, 0.01], [0.01, 0.3, 0.33, 0.33, 0.03]


@pytest.mark.parametrize(
    ("pays", "pretrained", "online", "rises"),
    [
        ([1, 0, 0, 0, 0], GOOD, BAD, True),
        ([1, 0, 0, 0, 0], BAD, GOOD, False),
        ([1, -1, 0, 0, 0], RARE, COMMON, True),
    ],
)
def test_a_learnt_weight_follows_the_better_policy(pays, pretrained, online, rises):
    """Policies stand still (step size 0); only the weight learns."""
    expected = np.dot(pays, pretrained) > np.dot(pays, online)
    assert expected == rises
    hyper = MixtureHyper(weight=0.5, learning_rate=0.0, weight_rate=0.1, discount=0.0)
    world = bandit(pays).replace(rating_low=jnp.float32(-1.0))
    found = weights(learner_of("learnt", 12), hyper, world, preferring(pretrained), preferring(online))
    assert (found[-1] > 0.6) if rises else (found[-1] < 0.4)


def test_evidence_is_the_difference_of_the_squared_errors():
    network, params = (
        tiny_network(14, "session"),
        [tiny_params(tiny_network(14, "session"), 4, seed) for seed in (0, 1)],
    )
    actor = mixture_actor(network, *params, jnp.float32(0.0), evidence=jnp.float32(3.0))
    recall = actor.begin(
        observations([[14, 2, 7, 1], [1, 2, 3, 4]], [[0.0, 0.5, 1.0, 0.25], [0.0, 0.2, 0.9, 1.0]])
    )
    item, feedback = jnp.array([3, 9]), jnp.array([1.0, 0.25])
    known = [network.feedback(one, part.features, item)
             for one, part in zip(params, (recall.pretrained, recall.online), strict=True)]  # fmt: skip
    told = actor.advance(recall, item, feedback, jnp.ones(2, bool)).evidence
    np.testing.assert_allclose(told, (known[1] - feedback) ** 2 - (known[0] - feedback) ** 2, rtol=1e-5)


@pytest.mark.parametrize(("evidence", "share"), [(8.0, 1.0), (-8.0, 0.0)])
def test_a_state_takes_the_policy_that_its_session_speaks_for(evidence, share):
    """With a logit of 0 before the session; 40 is far beyond what a coin would allow."""
    network, params = (
        tiny_network(14, "session"),
        [tiny_params(tiny_network(14, "session"), 4, seed) for seed in (0, 1)],
    )
    users, seen = 400, observations([[14, 2, 7, 1]] * 400, [[0.0, 0.5, 1.0, 0.25]] * 400)
    actor = mixture_actor(network, *params, jnp.float32(0.0), evidence=jnp.float32(5.0))
    recall = actor.begin(seen).replace(evidence=jnp.full(users, evidence))
    situation = Situation(jnp.zeros(users, jnp.int32), seen, limits(jnp.zeros((users, 1), jnp.int32)))
    _, choice = actor.act(jax.random.key(0), recall, situation)
    only = choice.pretrained if share else choice.online.log_prob
    np.testing.assert_allclose(choice.behaviour, only, atol=1e-4)
