"""The actor-critic loss through a rollout: its gradient against finite differences of the definition."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_worlds import random_world
from tiny_runs import tiny_learner, tiny_network, tiny_params

from ialp_jax.algorithms.a2c import policy_actor
from ialp_jax.algorithms.losses import ActorCriticHyper, actor_critic_loss
from ialp_jax.envs.sessions import draw_noise, draw_pool, empty_ledger, open_sessions, serve
from ialp_jax.envs.simulator import SimulatorConfig
from ialp_jax.policies.catalogue import mask_logits

WORLD = partial(random_world, users=6, items=14, history=4)
HYPER = ActorCriticHyper(entropy=0.3, value_weight=0.7, action_value_weight=0.4, discount=0.9, trace=0.8)


class Rollout:
    """A rollout that can be served again with other parameters: what the learner differentiates."""

    def __init__(self, encoder):
        self.network, self.world = tiny_network(encoder=encoder), WORLD()
        rules = SimulatorConfig(turn_cap=3, keep_rejected=False, rejection_threshold=0.5)
        self.learner = tiny_learner(self.network, rules)
        self.params = tiny_params(self.network)
        first_key, self.pool_key, self.serve_key = jax.random.split(jax.random.key(4), 3)
        actor = policy_actor(self.network, self.params)
        self.sessions = open_sessions(draw_pool(first_key, 3, actor, self.learner.simulator, self.world))

    def serve(self, params):
        actor, simulator = policy_actor(self.network, params), self.learner.simulator
        pool = draw_pool(jax.random.clone(self.pool_key), 4, actor, simulator, self.world)
        return pool, serve(
            jax.random.clone(self.serve_key), self.sessions, empty_ledger(5), jnp.int32(0), 6, pool, actor, simulator, self.world,
            self.learner.config.clock(3),
        )[2]  # fmt: skip

    def loss(self, params, behaviour_of=None):
        _, now = self.serve(params)
        behaviour = None if behaviour_of is None else behaviour_of(now)
        loss, (metrics, targets) = actor_critic_loss(
            params, self.network, now.recall, now.reached, now, now.extras.statistics, behaviour, HYPER, 4
        )
        return loss, (metrics, targets, now)


@pytest.fixture(scope="module", params=["gru", "sasrec"])
def rollout(request):
    return Rollout(request.param)


def test_the_ratio_is_one_for_the_policy_that_acted(rollout):
    def acted(now):
        return now.extras.statistics.log_prob

    both = [
        jax.value_and_grad(partial(rollout.loss, behaviour_of=one), has_aux=True) for one in (None, acted)
    ]
    (plain, gradient), (other, found) = jax.jit(lambda params: [one(params) for one in both])(rollout.params)
    assert float(plain[1][0]["ratio"]) == 1.0
    assert float(other[1][0]["ratio"]) == pytest.approx(1.0, abs=1e-6)
    assert float(plain[0]) == pytest.approx(float(other[0]), abs=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), gradient, found)


def written_out(network, first, opening, reopened, transitions, targets, hyper):
    """The loss from its definition for fixed decisions and targets: one log-softmax per turn, no blocks, no scan."""
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
            fresh = jax.tree.map(lambda leaf, turn=turn: leaf[reopened[turn]], opened)
            keep = now.done[:, None]
            recall = jax.tree.map(lambda new, old, keep=keep: jnp.where(keep, new, old), fresh, after)
        return total / (turns * users)

    return loss


def test_the_gradient_is_that_of_the_definition(rollout):
    """Central differences of the written-out loss in each group of parameters."""
    params = rollout.params

    def behaviour_of(now):  # off-policy, so that ratios matter too
        return now.extras.statistics.log_prob - 0.3 * now.reward

    ours = jax.jit(jax.value_and_grad(partial(rollout.loss, behaviour_of=behaviour_of), has_aux=True))
    (loss, (metrics, targets, transitions)), gradient = ours(params)
    assert 0.3 < metrics["ratio"] < 1.0 + 1e-6
    assert transitions.done.any() and not transitions.done.all() and not transitions.appended.all()
    pool, _ = jax.jit(rollout.serve)(params)
    keys = jax.random.split(jax.random.clone(rollout.serve_key), 6)
    reopened = jax.vmap(lambda key: draw_noise(key, 3, 4).reopened)(keys)
    definition = jax.jit(
        written_out(
            rollout.network,
            rollout.sessions.recall,
            pool.timestep.observation,
            reopened,
            transitions,
            targets,
            HYPER,
        )
    )
    assert float(loss) == pytest.approx(float(definition(params)), rel=1e-4)
    generator, step = np.random.default_rng(0), 3e-3
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
