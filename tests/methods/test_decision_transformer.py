"""Decision Transformer: what it reads and when, its loss, that it serves as it was trained, and that what is asked for matters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, NETWORK, OPTIMUM, logged_in, scene, world_of
from tiny_runs import tiny_network, tiny_params, tiny_scene

from ialp_jax.artifacts import InputError
from ialp_jax.methods.base import Data
from ialp_jax.methods.named.decision_transformer import (
    DecisionConfig,
    DecisionHyper,
    DecisionLearner,
    DecisionServer,
    decision_loss,
    logged_batch,
    paid_to_go,
)
from ialp_jax.policies.session_transformer import (
    TransformerConfig,
    decision_actor,
    features_of,
    left_to_go,
    transformer_of,
)
from ialp_jax.serving.play import play
from ialp_jax.worlds.types import Observation, Situation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
WORLD = world_of("by the history")
HYPER = DecisionHyper(learning_rate=5e-3)
CONFIG = DecisionConfig(updates=250, batch=48)
LEARNER = DecisionLearner(scene(1), CONFIG)
MODEL = transformer_of(NETWORK, TransformerConfig())
read_all = jax.jit(lambda params, sessions: features_of(MODEL, params, sessions))


@jax.jit
def begun(logged):
    return LEARNER.init(jax.random.key(0), HYPER, Data(logged=logged), (tiny_params(NETWORK, 2),))


@pytest.fixture(scope="module")
def logged():
    """Six sessions, of which one is cut short."""
    played = logged_in(WORLD, sessions=6)
    length = played.length.at[2].set(2)
    turns = np.asarray([(s, t) for s, count in enumerate(np.asarray(length)) for t in range(count)], np.int32)
    return played.replace(length=length, turns=jnp.asarray(turns), action=played.action.at[2, 2:].set(ITEMS))


@pytest.fixture(scope="module")
def learnt(logged):
    """Parameters in which everything is at work, and the unit of returns."""
    product = LEARNER.product(begun(logged))
    keys = iter(jax.random.split(jax.random.key(1), len(jax.tree.leaves(product.params))))
    noisy = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(next(keys), leaf.shape), product.params)
    return product.replace(params=noisy)


def test_what_is_left_falls_by_what_was_paid_to_nothing_at_the_lowest():
    feedback = jnp.array([[0.5, 0.0, 1.0, 0.25], [1.0, 1.0, 1.0, 1.0]])
    found = left_to_go(1.0, feedback, 2.0)
    np.testing.assert_allclose(found, [[1.0, 0.75, 0.75, 0.25], [1.0, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(paid_to_go(feedback), [[1.75, 1.25, 1.25, 0.25], [4.0, 3.0, 2.0, 1.0]])


def test_a_batch_holds_whole_sessions_and_the_rows_of_their_turns(logged):
    chosen = np.array([2, 0, 2])
    read, rows, live = logged_batch(logged, jnp.asarray(chosen), jnp.float32(2.0), ITEMS)
    feedback = np.asarray(logged.feedback)
    for place, session in enumerate(chosen):
        length = int(logged.length[session])
        assert live[place].tolist() == [turn < length for turn in range(4)]
        for turn in range(length):
            whole = 4 * place + turn
            assert rows.action[whole] == logged.action[session, turn]
            assert np.isin(
                np.asarray(logged.action[session, :turn]), np.asarray(rows.limits.excluded[whole])
            ).all()
            wanted = feedback[session, turn:length].sum() / 2.0
            assert float(read.to_go[place, turn]) == pytest.approx(wanted, abs=1e-6)
        assert not np.any(read.to_go[place, length:])
        assert np.array_equal(read.known.items[place], logged.window.items[session, 0])


def test_the_unit_of_returns_is_the_highest_that_was_logged(logged, learnt):
    sums = [np.asarray(logged.feedback)[s, : int(n)].sum() for s, n in enumerate(logged.length)]
    assert float(learnt.highest) == pytest.approx(max(sums)) and max(sums) > 1.0
    learner, nothing = (
        DecisionLearner(scene(1), CONFIG),
        logged.replace(feedback=jnp.zeros_like(logged.feedback)),
    )
    run = learner.init(jax.random.key(0), HYPER, Data(logged=nothing), (tiny_params(NETWORK, 2),))
    assert float(run.target) == 1.0


def test_the_loss_is_the_mean_surprise_over_turns_that_are_no_padding(logged, learnt):
    batch = logged_batch(logged, jnp.arange(6), learnt.highest, ITEMS)
    features = np.asarray(read_all(learnt.params, batch[0]), np.float64)
    head = {name: np.asarray(leaf, np.float64) for name, leaf in learnt.params["query_head"].items()}
    items, bias = (np.asarray(learnt.params[name], np.float64) for name in ("items", "bias"))
    logits = (features.reshape(24, -1) @ head["kernel"] + head["bias"]) @ items.T + bias
    surprise = []
    for row, alive in enumerate(np.asarray(batch[2]).ravel()):
        if alive:
            permitted = np.setdiff1d(np.arange(ITEMS), np.asarray(batch[1].limits.excluded[row]))
            total = np.log(np.exp(logits[row, permitted]).sum())
            surprise.append(total - logits[row, int(batch[1].action[row])])
    assert len(surprise) == 22
    loss, metrics = jax.jit(lambda params: decision_loss(params, NETWORK, MODEL, batch))(learnt.params)
    assert float(loss) == pytest.approx(np.mean(surprise), rel=1e-4) and metrics["loss"] == loss


def test_a_decision_sees_its_return_and_all_that_came_before_and_nothing_later(logged, learnt):
    sessions = logged_batch(logged, jnp.arange(2), learnt.highest, ITEMS)[0]
    base, turn = np.asarray(read_all(learnt.params, sessions)), 1

    def moved(**changes):
        other = np.asarray(read_all(learnt.params, sessions.replace(**changes)))
        return [not np.allclose(other[:, place], base[:, place], atol=1e-6) for place in range(4)]

    own = (sessions.items[:, turn] + 1) % ITEMS
    assert moved(items=sessions.items.at[:, turn].set(own)) == [False, False, True, True]
    assert moved(feedback=sessions.feedback.at[:, turn].add(0.5)) == [False, False, True, True]
    assert moved(to_go=sessions.to_go.at[:, turn].add(0.5)) == [False, True, True, True]
    liked = Observation(sessions.known.items, sessions.known.feedback.at[:, 1].add(-0.5))
    assert moved(known=liked) == [True] * 4
    empty = Observation(sessions.known.items, sessions.known.feedback.at[:, 0].add(0.5))
    assert np.all(sessions.known.items[:, 0] == ITEMS) and moved(known=empty) == [False] * 4


def test_it_serves_as_it_was_trained(logged, learnt):
    """Asked for what a session earned, and answered as that was, it reads in every turn what training read there."""
    first = 0
    read, rows, _ = logged_batch(logged, jnp.array([first]), learnt.highest, ITEMS)
    query = NETWORK.query(learnt.params, read_all(learnt.params, read)[0])
    items, bias = NETWORK.catalogue(learnt.params)
    logits = np.array(query @ items.T + bias[None])
    actor = decision_actor(NETWORK, MODEL, learnt, read.to_go[0, 0], 4, True)
    act = jax.jit(actor.act)
    recall = actor.begin(read.known)
    for turn in range(4):
        excluded = rows.limits.excluded[turn][None]
        logits[turn, np.asarray(excluded)[np.asarray(excluded) < ITEMS]] = -np.inf
        situation = Situation(jnp.zeros(1, jnp.int32), read.known, limits(excluded))
        chosen, _ = act(jax.random.key(turn), recall, situation)
        assert int(chosen[0]) == int(np.argmax(logits[turn]))
        entered = jnp.array([turn % 2 == 0])  # what enters the history decides nothing
        recall = actor.advance(recall, read.items[:, turn], read.feedback[:, turn], entered)
    np.testing.assert_array_equal(recall.items, read.items)
    np.testing.assert_allclose(
        left_to_go(read.to_go[0, 0], recall.feedback, learnt.highest), read.to_go, atol=1e-6
    )


@jax.jit
def earned(logged, targets):
    """Reward per turn of greedy sessions, by what is asked for [T], for two seeds [2]."""
    server, data = DecisionServer(scene(1)), Data(logged=logged)

    def one_seed(key):
        start_key, run_key, play_key = jax.random.split(key, 3)
        run = LEARNER.init(run_key, HYPER, data, (NETWORK.init(start_key, 2),))
        learn = lambda run, _: (LEARNER.update(run, HYPER, data)[0], None)  # noqa: E731
        run = jax.lax.scan(learn, run, None, length=LEARNER.updates)[0]

        def asked(target):
            actor = server.asked(LEARNER.product(run), target, True)
            played = play(play_key, actor, server.scene.simulator, WORLD, 200)
            return jnp.sum(played.rewards) / jnp.sum(played.length.astype(jnp.float32))

        return jax.vmap(asked)(targets)

    return jax.vmap(one_seed)(jax.random.split(jax.random.key(0), 2))


def test_what_is_asked_for_is_what_is_earned():
    """The highest return that was logged comes near the optimum, far above what logged; none comes far below that."""
    logged = logged_in(WORLD)
    most, none = np.asarray(earned(logged, jnp.array([1.0, 0.0]))).mean(axis=0)
    before = float(jnp.mean(logged.reward))  # nobody leaves before the cap
    assert most > 0.9 * OPTIMUM and none < before - 0.2, (most, none, before)


def test_heads_that_cannot_share_the_width_are_refused():
    with pytest.raises(InputError, match="3 heads cannot share a width of 8"):
        DecisionLearner(scene(1), DecisionConfig(transformer=TransformerConfig(heads=3)))


def test_a_step_with_a_hundred_thousand_items_takes_less_than_two_gigabytes():
    """By what its compiled program holds; nothing is run."""
    network = tiny_network(100_000, width=32, block_rows=256)
    logged, learner = logged_in(WORLD, sessions=20), DecisionLearner(tiny_scene(network), DecisionConfig())
    start = jax.eval_shape(lambda: network.init(jax.random.key(0), 2))
    run = jax.eval_shape(
        lambda key, start, logged: learner.init(key, HYPER, Data(logged=logged), (start,)),
        jax.random.key(0), start, logged,
    )  # fmt: skip
    update = jax.jit(lambda run, logged: learner.update(run, HYPER, Data(logged=logged)))
    needed = update.lower(run, logged).compile().memory_analysis()
    assert needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes < 2e9
