"""DAPO: where its regression ends, what copies say of candidates, and a value that leaves the policy alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import world_arrays, world_from
from tiny_runs import observations, probe_world, tiny_network, tiny_params, tiny_scene

from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.policy_value import PolicyValueHyper, PolicyValueLearner
from ialp_jax.methods.named.dapo import (
    CandidateConfig,
    DapoHyper,
    ImprovementLearner,
    advantages,
    candidate_values,
    log_ratio_loss,
    regression,
)
from ialp_jax.worlds.simulator import SimulatorConfig, sample_noise

pytestmark = pytest.mark.usefixtures("batched_keys")

REFERENCE, ADVANTAGE, BETA = np.array([0.5, 0.3, 0.2]), np.array([0.2, -0.1, -0.35]), 0.1


@partial(jax.jit, static_argnums=4)
def regressed(reference, advantage, weight, temperature, steps):
    """The policy of a table of logits at the minimum of the production loss, by gradient descent with momentum."""

    def loss(logits):
        log_ratio = jax.nn.log_softmax(logits) - jnp.log(reference)
        return log_ratio_loss(log_ratio[None], advantage[None], weight[None], temperature)[0]

    def step(_, carry):
        logits, speed = carry
        speed = 0.9 * speed - 0.05 * jax.grad(loss)(logits)
        return logits + speed, speed

    start = jnp.log(reference)
    return jax.nn.softmax(jax.lax.fori_loop(0, steps, step, (start, jnp.zeros_like(start)))[0])


def gain(policy, reference, advantage, temperature):
    """E[A] - beta KL to the reference."""
    return np.sum(policy * (advantage - temperature * np.log(policy / reference)))


@pytest.mark.parametrize(
    ("weight", "multiplier", "log_ratio", "expected", "better"),
    [
        (REFERENCE, 0.775451, [0.594619, -1.227277, -3.522887], [0.906170, 0.087927, 0.005903], 0.129363),
        (np.full(3, 1 / 3), 0.524064, None, [0.898972, 0.095045, 0.005983], 0.128483),
    ],
)
def test_the_regression_ends_where_the_closed_form_says(weight, multiplier, log_ratio, expected, better):
    """Not at the optimum of the regularised return, which is a softmax and another policy."""
    with jax.enable_x64(True):
        policy = np.asarray(regressed(REFERENCE, ADVANTAGE, weight, BETA, 20_000))
    ends = np.log(policy / REFERENCE)
    np.testing.assert_allclose(policy, expected, atol=6e-7)
    np.testing.assert_allclose((ADVANTAGE / BETA - ends) * weight / policy, multiplier, atol=6e-7)
    assert gain(policy, REFERENCE, ADVANTAGE, BETA) == pytest.approx(better, abs=6e-7)
    if log_ratio is not None:
        np.testing.assert_allclose(ends, log_ratio, atol=6e-7)
    tilted = REFERENCE * np.exp(ADVANTAGE / BETA)
    tilted /= tilted.sum()
    np.testing.assert_allclose(tilted, [0.969455, 0.028960, 0.001585], atol=6e-7)
    assert gain(tilted, REFERENCE, ADVANTAGE, BETA) == pytest.approx(0.133787, abs=6e-7)
    assert np.abs(policy - tilted).max() > 0.05


def test_without_advantages_nothing_moves():
    policy = regressed(*map(jnp.float32, (REFERENCE, np.zeros(3), np.full(3, 1 / 3), BETA)), 100)
    np.testing.assert_allclose(policy, REFERENCE, atol=1e-6)


def test_no_exact_regression_ends_below_its_reference():
    """A thousand draws of a reference, of advantages that it averages to 0, and of weights."""
    generator = np.random.default_rng(0)
    reference, weight = generator.dirichlet(np.full(4, 2.0), (2, 1000))
    advantage = generator.normal(size=(1000, 4)) * 0.3
    advantage -= (reference * advantage).sum(axis=1, keepdims=True)
    with jax.enable_x64(True):
        solved = jax.vmap(regressed, (0, 0, 0, None, None))(reference, advantage, weight, 0.5, 3000)
    gains = [gain(*one, 0.5) for one in zip(np.asarray(solved), reference, advantage, strict=True)]
    assert min(gains) > -1e-4 and np.mean(gains) > 0.01


def test_the_baseline_is_the_references_mean_over_the_candidates():
    values, counted = jnp.array([[1.0, 0.0, 9.0]]), jnp.array([[True, True, False]])
    found = advantages(values, jnp.log(jnp.array([[0.3, 0.1, 0.5]])), counted)
    np.testing.assert_allclose(found, [[0.25, -0.75, 0.0]], rtol=1e-6)  # not .5, the candidates' plain mean


ITEMS = 14
NETWORK = tiny_network(ITEMS)
WORLD = world_from(world_arrays(3, users=6, items=ITEMS, noise=0.0))
SCENE = tiny_scene(NETWORK, SimulatorConfig(turn_cap=3, rules=("rating", "distance")), users=6)
LEARNER = ImprovementLearner(SCENE, CandidateConfig(likely=3, random=4))


def test_a_copy_says_what_a_candidate_pays_and_leads_to():
    """Of all items of all users, one copy after the other; some make the user leave, whose last item pays too."""
    params, simulator = tiny_params(NETWORK), SCENE.simulator
    state, seen = jax.vmap(simulator.start, (0, None))(jnp.arange(6, dtype=jnp.int32), WORLD)
    recall, items = (
        NETWORK.begin(params, seen.observation),
        jnp.tile(jnp.arange(ITEMS, dtype=jnp.int32), (6, 1)),
    )
    found = jax.jit(partial(candidate_values, NETWORK, params, 0.5, simulator))(recall, state, items, WORLD)

    @jax.jit
    def alone(item):
        quiet = jax.tree.map(jnp.zeros_like, sample_noise(jax.random.key(0), (6,)))
        _, step = jax.vmap(simulator.transition, (0, None, 0, None))(state, item, quiet, WORLD)
        reached = NETWORK.advance(params, recall, jnp.full(6, item), step.feedback, step.appended)
        return step.reward / WORLD.rating_high, step.terminated, NETWORK.value(params, reached.features)

    left = 0
    for item in range(ITEMS):
        reward, terminated, value = map(np.asarray, alone(jnp.int32(item)))
        np.testing.assert_allclose(found[:, item], reward + 0.5 * np.where(terminated, 0.0, value), rtol=1e-4)
        left += terminated.sum()
    assert 0 < left < 6 * ITEMS


def test_candidates_are_permitted_once_and_start_at_a_ratio_of_one():
    """The loss of a policy that is the reference has squared advantages alone; log pi_0 by a softmax written out."""
    params, hyper = tiny_params(NETWORK), DapoHyper(temperature=0.3)
    data = Data(world=WORLD)
    run = LEARNER.init(jax.random.key(0), hyper, data, (params,))
    served = jax.jit(lambda run: LEARNER.serve(run.serving, LEARNER.copying(params, params, hyper), data))(
        run
    )
    now = served.transitions
    known = now.extras
    features = now.recall.pretrained.features.reshape(-1, now.recall.pretrained.features.shape[-1])
    items, bias = NETWORK.catalogue(params)
    logits = np.asarray(NETWORK.query(params, features) @ items.T + bias[None])
    gains, numbers = [], known.item.reshape(-1, 7)
    for row, (candidates, excluded) in enumerate(
        zip(np.asarray(numbers), np.asarray(now.limits.excluded).reshape(len(numbers), -1), strict=True)
    ):
        permitted = np.setdiff1d(np.arange(ITEMS), excluded)
        counted = np.asarray(known.counted).reshape(-1, 7)[row]
        first = [
            item in permitted and item not in candidates[:place] for place, item in enumerate(candidates)
        ]
        assert counted.tolist() == first and counted[:3].all()
        assert set(candidates[:3]) == set(permitted[np.argsort(-logits[row, permitted])[:3]])
        log_reference = logits[row] - np.log(np.exp(logits[row, permitted]).sum())
        told = np.asarray(known.log_reference).reshape(-1, 7)[row]
        np.testing.assert_allclose(told[counted], log_reference[candidates[counted]], rtol=1e-4, atol=1e-4)
        chance, value = np.exp(told[counted]), np.asarray(known.action_value).reshape(-1, 7)[row, counted]
        gains.append(value - (chance * value).sum() / chance.sum())
    loss, metrics = jax.jit(lambda now: regression(params, NETWORK, now, hyper))(now)
    assert float(metrics["log_ratio"]) < 1e-5 and float(metrics["kept"]) == 1.0
    assert float(loss) == pytest.approx(np.mean([(one**2).mean() / 2 / 0.3**2 for one in gains]), rel=1e-3)
    gap = float(np.median([one.max() - one.min() for one in gains]))
    _, metrics = jax.jit(lambda now: regression(params, NETWORK, now, hyper.replace(gap=gap)))(now)
    assert float(metrics["kept"]) == pytest.approx(0.5, abs=0.1)


SHOP = tiny_network(3, block_rows=256)
ONE_TURN = tiny_scene(SHOP, SimulatorConfig(turn_cap=1, rules=(), repeats="allowed"), users=32, rollout=4)


def known_policy():
    """Parameters whose policy is the reference in every state."""
    params = tiny_params(SHOP, 1)
    return {**params, "items": jnp.zeros_like(params["items"]), "bias": jnp.log(jnp.float32(REFERENCE))}


def test_the_learner_ends_where_the_closed_form_says():
    """One state whose items pay the advantages and a constant: all three are candidates, each weighed alike."""
    learner, data = ImprovementLearner(ONE_TURN), Data(world=probe_world([0.5 + ADVANTAGE], [[3]]))
    hyper = DapoHyper(learning_rate=5e-3, discount=0.0, temperature=BETA, gradient_norm=10.0)

    @jax.jit
    def learnt(key):
        run = learner.init(key, hyper, data, (known_policy(),))
        run, metrics = jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=600)
        features = SHOP.begin(run.params, observations([[3]], [[0.0]])).features
        items, bias = SHOP.catalogue(run.params)
        return jax.nn.softmax(SHOP.query(run.params, features)[0] @ items.T + bias), metrics["reward"]

    policy, reward = learnt(jax.random.key(0))
    np.testing.assert_allclose(policy, [0.898972, 0.095045, 0.005983], atol=5e-3)
    assert reward[:20].mean() < 0.55 < 0.66 < reward[-50:].mean()


def test_the_value_comes_alone():
    """It learns what the policy's sessions pay; the policy, its features and all else stay to the bit."""
    learner, data = PolicyValueLearner(ONE_TURN), Data(world=probe_world([0.5 + ADVANTAGE], [[3]]))
    hyper, params = PolicyValueHyper(learning_rate=1e-2, discount=0.0), known_policy()
    run = learner.init(jax.random.key(0), hyper, data, (params,))
    run, _ = jax.jit(
        lambda run: jax.lax.scan(lambda run, _: learner.update(run, hyper, data), run, None, length=200)
    )(run)
    after, moved = learner.product(run), set()
    for name in params:
        same = [
            np.array_equal(*pair)
            for pair in zip(*map(jax.tree.leaves, (params[name], after[name])), strict=True)
        ]
        if not all(same):
            moved.add(name)
    assert moved == {"value_hidden", "value_out"}
    features = SHOP.begin(after, observations([[3]], [[0.0]])).features
    assert float(SHOP.value(after, features)[0]) == pytest.approx(0.5, abs=0.03)


def test_copies_are_charged():
    assert LEARNER.steps == (1 + 3 + 4) * PolicyValueLearner(SCENE).steps
