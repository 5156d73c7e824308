"""The actor-critic loss through a rollout: its gradient against finite differences of the definition."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bfloat16_errors import rounded_factors
from catalogue_cases import case, choices, exact_log_probs
from random_worlds import random_world
from tiny_runs import tiny_learner, tiny_network, tiny_params

from ialp_jax.learning import losses
from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import remaining
from ialp_jax.methods.named.a_ialp_ap_mixture import mixture_actor
from ialp_jax.methods.named.a_ialp_ap_value import value_actor
from ialp_jax.policies.actor import policy_actor
from ialp_jax.policies.catalogue import mask_logits
from ialp_jax.serving.ledger import empty_ledger
from ialp_jax.serving.sessions import draw_pool, draw_rollout, open_sessions, serve
from ialp_jax.worlds.simulator import SimulatorConfig
from ialp_jax.worlds.types import Observation

WORLD = partial(random_world, users=6, items=14, history=4)
HYPER = ActorCriticHyper(entropy=0.3, value_weight=0.7, action_value_weight=0.4, discount=0.9, trace=0.8)


TEACHING = 0.6  # weight of the supervised term in the plain case


class Rollout:
    """A rollout that can be served again with other parameters: what the learners differentiate."""

    def __init__(self, encoder, reading):
        self.network, self.world, self.reading = tiny_network(encoder=encoder), WORLD(), reading
        rules = SimulatorConfig(turn_cap=3, keep_rejected=False, rejection_threshold=0.5)
        self.learner = tiny_learner(self.network, rules)
        self.params, self.pretrained = tiny_params(self.network), tiny_params(self.network, seed=1)
        first_key, self.pool_key, self.serve_key = jax.random.split(jax.random.key(4), 3)
        actor = self.actor(self.params)
        simulator = self.learner.scene.simulator
        self.sessions = open_sessions(
            draw_pool(first_key, 3, actor, simulator, self.world), simulator, self.world
        )

    def actor(self, params):
        if self.reading is None:
            return policy_actor(self.network, params)
        if self.reading == "mixture":
            return mixture_actor(self.network, self.pretrained, params, jnp.float32(0.4))
        return value_actor(self.network, self.pretrained, params, 10.0, jnp.float32(1.0))

    def learnt(self, recall):
        """The part of a recall that belongs to the policy that learns."""
        return recall if self.reading is None else recall.online

    def serve(self, params):
        actor, simulator = self.actor(params), self.learner.scene.simulator
        pool = draw_pool(jax.random.clone(self.pool_key), 4, actor, simulator, self.world)
        return pool, serve(
            jax.random.clone(self.serve_key), self.sessions, empty_ledger(5), jnp.int32(0), 6, pool, actor,
            simulator, self.world, self.learner.scene.stream.clock(3),
        )[2]  # fmt: skip

    def loss(self, params, behaviour_of=None, taught_of=None):
        _, now = self.serve(params)
        if self.reading is None:
            statistics, behaviour = now.extras.statistics, behaviour_of(now) if behaviour_of else None
        else:
            statistics, behaviour = now.extras.online, now.extras.behaviour
        loss, (metrics, targets) = actor_critic_loss(
            params, self.network, self.learnt(now.recall), self.learnt(now.reached), now, statistics, behaviour,
            HYPER, (taught_of(now), TEACHING) if taught_of else None,
        )  # fmt: skip
        return loss, (metrics, targets, now)


def log_probs_of(network, params, features, limits):
    """Log-softmax over what is permitted, one row per user."""
    logits = network.query(params, features) @ params["items"].T + params["bias"][None]
    return jax.nn.log_softmax(mask_logits(logits, limits))


def another_item(now):
    """Some permitted item that was not recommended, for about half of the rows; -1 for the others."""
    ids = jnp.arange(14, dtype=jnp.int32)
    out = jax.nn.one_hot(now.limits.excluded, 14).sum(axis=-2) + jax.nn.one_hot(now.action, 14) > 0
    chosen = jnp.argmax(jnp.where(out, -1, jnp.broadcast_to((ids * 5 + 3) % 14, out.shape)), axis=-1).astype(
        jnp.int32
    )
    return jnp.where(now.action % 2 == 0, chosen, -1)


CASES = {
    "gru": ("gru", None),
    "sasrec": ("sasrec", None),
    "mixture": ("gru", "mixture"),
    "value": ("gru", "value"),
}


@pytest.fixture(scope="module", params=CASES)
def rollout(request):
    return Rollout(*CASES[request.param])


def test_the_ratio_is_one_for_the_policy_that_acted():
    """The log-probabilities of the policy that acted are computed apart, from a dense softmax."""
    rollout = Rollout("gru", None)

    def acted(now):
        def one_turn(features, now):
            log_probs = log_probs_of(rollout.network, rollout.params, features, now.limits)
            return jnp.take_along_axis(log_probs, now.action[:, None], axis=1)[:, 0]

        return jax.lax.stop_gradient(jax.vmap(one_turn)(now.recall.features, now))

    both = [
        jax.value_and_grad(partial(rollout.loss, behaviour_of=one), has_aux=True) for one in (None, acted)
    ]
    (plain, gradient), (other, found) = jax.jit(lambda params: [one(params) for one in both])(rollout.params)
    assert float(plain[1][0]["ratio"]) == 1.0
    assert float(other[1][0]["ratio"]) == pytest.approx(1.0, abs=1e-5)
    assert float(plain[0]) == pytest.approx(float(other[0]), abs=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), gradient, found)


def written_out(network, first, opening, reopened, transitions, targets, hyper, taught):
    """The loss from its definition for fixed decisions and targets: one log-softmax per turn, no blocks, no scan."""
    weights = targets.advantages / (jnp.std(targets.advantages) + 1e-6)

    def loss(params):
        opened, recall, total = network.begin(params, opening), first, jnp.float32(0.0)
        turns, users = transitions.action.shape
        for turn in range(turns):
            now = jax.tree.map(lambda leaf, turn=turn: leaf[turn], transitions)
            features = recall.features
            log_probs = log_probs_of(network, params, features, now.limits)
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
            if taught is not None:
                wanted = jnp.sum(jax.nn.one_hot(taught[turn], 14) * jnp.maximum(log_probs, -1e3), axis=1)
                total -= TEACHING * turns * users * jnp.sum(wanted) / jnp.sum(taught >= 0, dtype=jnp.float32)
            after = network.advance(params, recall, now.action, now.feedback, now.appended)
            fresh = jax.tree.map(lambda leaf, turn=turn: leaf[reopened[turn]], opened)
            keep = now.done[:, None]
            recall = jax.tree.map(lambda new, old, keep=keep: jnp.where(keep, new, old), fresh, after)
        return total / (turns * users)

    return loss


def test_the_gradient_is_that_of_the_definition(rollout):
    """Central differences of the written-out loss in each group of parameters; off-policy, so that ratios matter."""
    params, teacher = rollout.params, another_item if rollout.reading is None else None
    found = partial(
        rollout.loss,
        behaviour_of=lambda now: now.extras.statistics.log_prob - 0.3 * now.reward,
        taught_of=teacher,
    )
    ours = jax.jit(jax.value_and_grad(found, has_aux=True))
    (loss, (metrics, targets, transitions)), gradient = ours(params)
    assert 0.1 < metrics["ratio"] < 1.0 + 1e-6
    assert transitions.done.any() and not transitions.done.all() and not transitions.appended.all()
    pool, _ = jax.jit(rollout.serve)(params)
    reopened = draw_rollout(jax.random.clone(rollout.serve_key), 6, 3, 4, rollout.actor(params)).arrivals
    known = Observation(WORLD().initial_items[pool.user], WORLD().initial_feedback[pool.user])
    first, taught = rollout.learnt(rollout.sessions.recall), teacher(transitions) if teacher else None
    definition = jax.jit(
        written_out(rollout.network, first, known, reopened, transitions, targets, HYPER, taught)
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


@pytest.mark.parametrize(
    ("update", "share", "expected"),
    [(0, 0.5, 1.0), (5, 0.5, 0.5), (10, 0.5, 0.0), (20, 0.5, 0.0), (10, 1.0, 0.5), (1, 0.0, 0.0)],
)
def test_what_remains_falls_linearly_to_zero(update, share, expected):
    assert float(remaining(jnp.int32(update), 20, share)) == pytest.approx(expected)


@pytest.mark.parametrize("which", ["statistics", "behaviour", "taught", "reached"])
def test_a_loss_refuses_arrays_of_other_turns_and_users(which):
    """Users have no checker of annotations: the function that is under it is called."""
    rollout = Rollout("gru", None)

    def loss(params):
        _, now = rollout.serve(params)
        parts = {"statistics": now.extras.statistics, "behaviour": now.extras.statistics.log_prob,
                 "taught": now.action, "reached": now.reached}  # fmt: skip
        parts[which] = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), parts[which])
        return inspect.unwrap(actor_critic_loss)(
            params, rollout.network, now.recall, parts["reached"], now, parts["statistics"], parts["behaviour"],
            HYPER, (parts["taught"], TEACHING),
        )[0]  # fmt: skip

    with pytest.raises(AssertionError, match="prefix"):
        jax.eval_shape(loss, rollout.params)


@pytest.mark.parametrize("matmul", ["float32", "bfloat16"])
def test_the_taught_items_log_probability_is_the_heads(matmul):
    """log pi(b) from log pi(a) and two logits, with the rounding that the head has: against float64."""
    inputs, actions = case(5, 90, width=40, scale=0.5), choices(5, 90)[:, 0]
    taught = np.argsort(-exact_log_probs(inputs), axis=1)[:, 1].astype(np.int32)
    exact = exact_log_probs(rounded_factors(inputs) if matmul == "bfloat16" else inputs)
    rows = np.arange(5)
    found = jax.jit(partial(losses._teaching, matmul=matmul))(
        jnp.asarray(taught), jnp.asarray(actions), jnp.asarray(exact[rows, actions], jnp.float32),
        *map(jnp.asarray, inputs[:3]),
    )  # fmt: skip
    assert float(found) == pytest.approx(exact[rows, taught].mean(), abs=1e-5)
