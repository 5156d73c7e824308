"""The actor-critic loss: its gradient by finite differences, and a replay that repeats the rollout."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world
from tiny_runs import tiny_learner, tiny_network, tiny_params

from ialp_jax.algorithms.a2c import item_distribution, policy_actor
from ialp_jax.algorithms.losses import ActorCriticHyper, actor_critic_loss, replay
from ialp_jax.envs.sessions import draw_pool, empty_ledger, open_sessions, serve
from ialp_jax.envs.simulator import SimulatorConfig
from ialp_jax.policies.catalogue import mask_logits

WORLD = partial(random_world, users=6, items=14, history=4)
HYPER = ActorCriticHyper(entropy=0.3, value_weight=0.7, action_value_weight=0.4, discount=0.9, trace=0.8)


def rollout(encoder):
    """A served rollout whose transitions keep the acting features and log-probabilities."""
    network, world = tiny_network(encoder=encoder), WORLD()
    learner = tiny_learner(network, SimulatorConfig(turn_cap=3, keep_rejected=False, rejection_threshold=0.5))
    params = tiny_params(network)
    actor = policy_actor(network, params)

    def act(key, recall, state, timestep, world):
        item, log_prob = item_distribution(network, params, recall, timestep).sample_and_log_prob(seed=key)
        return item, (recall.features, log_prob)

    actor = actor._replace(act=act)

    @jax.jit
    def run(key):
        first_key, pool_key, serve_key = jax.random.split(key, 3)
        sessions = open_sessions(draw_pool(first_key, 3, actor, learner.simulator, world))
        pool = draw_pool(pool_key, 4, actor, learner.simulator, world)
        transitions = serve(
            serve_key, sessions, empty_ledger(5), jnp.int32(0), 6, pool, actor, learner.simulator, world,
            learner.config.clock(3),
        )[2]  # fmt: skip
        return sessions.recall, pool.timestep.observation, transitions

    return network, params, *run(jax.random.key(4))


@pytest.fixture(scope="module")
def served():
    return rollout("gru")


@pytest.mark.parametrize("encoder", ["gru", "sasrec"])
def test_a_replay_repeats_the_features_of_the_rollout(encoder, served):
    network, params, first, opening, transitions = served if encoder == "gru" else rollout(encoder)
    acting, after = jax.jit(partial(replay, network))(params, first, opening, transitions)
    assert transitions.done.any() and not transitions.done.all() and not transitions.appended.all()
    np.testing.assert_allclose(acting, transitions.extras[0], atol=1e-5)
    goes_on = ~np.asarray(transitions.done)[:-1]
    np.testing.assert_allclose(np.asarray(after)[:-1][goes_on], np.asarray(acting)[1:][goes_on], atol=1e-6)
    opened = np.asarray(jax.jit(network.begin)(params, opening).features)[np.asarray(transitions.reopened)]
    np.testing.assert_allclose(np.asarray(acting)[1:][~goes_on], opened[:-1][~goes_on], atol=1e-5)


def loss_of(network, first, opening, transitions, behaviour, hyper):
    return lambda params: actor_critic_loss(params, network, first, opening, transitions, behaviour, hyper, 4)


def test_the_ratio_is_one_for_the_policy_that_acted(served):
    network, params, first, opening, transitions = served
    plain = transitions.replace(extras=())
    given = [
        loss_of(network, first, opening, plain, behaviour, HYPER)
        for behaviour in (None, transitions.extras[1])
    ]
    (loss, metrics), gradient, (other, found), gradient_found = jax.jit(
        lambda params: [part for one in given for part in jax.value_and_grad(one, has_aux=True)(params)]
    )(params)
    assert float(metrics[0]["ratio"]) == 1.0
    assert float(found[0]["ratio"]) == pytest.approx(1.0, abs=1e-5)
    assert float(loss) == pytest.approx(float(other), abs=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), gradient, gradient_found)


def written_out(network, first, opening, transitions, targets, hyper):
    """The loss from its definition for fixed targets: one log-softmax per turn, no blocks, no scan."""
    weights = targets.advantages / (jnp.std(targets.advantages) + 1e-6)

    def loss(params):
        opened, recall, total = network.begin(params, opening), first, jnp.float32(0.0)
        turns, users = transitions.action.shape
        for turn in range(turns):
            now = jax.tree.map(lambda leaf, turn=turn: leaf[turn], transitions)
            features = recall.features
            logits = network.query(params, features) @ params["items"].T + params["bias"][None]
            log_probs = jax.nn.log_softmax(mask_logits(logits, now.excluded, now.allowed))
            chosen = jnp.sum(jnp.where(jax.nn.one_hot(now.action, 14) > 0, log_probs, 0.0), axis=1)
            entropy = -jnp.sum(jnp.where(log_probs > -1e20, jnp.exp(log_probs) * log_probs, 0.0), axis=1)
            values, action_values = (
                network.value(params, features), network.action_value(params, features, now.action)
            )  # fmt: skip
            total += jnp.sum(
                -weights[turn] * chosen - hyper.entropy * entropy
                + hyper.value_weight * 0.5 * (values - targets.values[turn]) ** 2
                + hyper.action_value_weight * 0.5 * (action_values - targets.action_values[turn]) ** 2
            )  # fmt: skip
            after = network.advance(params, recall, now.action, now.feedback, now.appended)
            fresh = jax.tree.map(lambda leaf, now=now: leaf[now.reopened], opened)
            keep = now.done[:, None]
            recall = jax.tree.map(lambda new, old, keep=keep: jnp.where(keep, new, old), fresh, after)
        return total / (turns * users)

    return loss


def test_the_gradient_is_that_of_the_definition(served):
    """Central differences of the written-out loss in each group of parameters."""
    network, params, first, opening, transitions = served
    behaviour = transitions.extras[1] - 0.3 * transitions.reward  # off-policy, so that ratios matter too
    transitions = transitions.replace(extras=())
    ours = jax.jit(
        jax.value_and_grad(loss_of(network, first, opening, transitions, behaviour, HYPER), has_aux=True)
    )
    (loss, (metrics, targets)), gradient = ours(params)
    assert 0.3 < metrics["ratio"] < 1.0 + 1e-6
    definition = jax.jit(written_out(network, first, opening, transitions, targets, HYPER))
    assert float(loss) == pytest.approx(float(definition(params)), rel=1e-4)
    generator, step = np.random.default_rng(0), 1e-2
    for group in params:
        leaves, structure = jax.tree.flatten(gradient[group])
        size = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in leaves))
        count = sum(leaf.size for leaf in leaves)
        # Half along the gradient, so that the slope is not lost in rounding; half at random.
        way = [
            np.asarray(leaf) / size + generator.normal(size=leaf.shape) / np.sqrt(count) for leaf in leaves
        ]
        way = jax.tree.unflatten(structure, [jnp.asarray(part, jnp.float32) for part in way])
        slope = sum(
            jnp.vdot(g, w)
            for g, w in zip(jax.tree.leaves(gradient[group]), jax.tree.leaves(way), strict=True)
        )
        ends = [
            definition(
                {**params, group: jax.tree.map(lambda p, w, s=sign: p + s * step * w, params[group], way)}
            )
            for sign in (1.0, -1.0)
        ]
        assert float(slope) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=0.02, abs=1e-4), group
