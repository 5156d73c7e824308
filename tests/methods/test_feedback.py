"""Steps on the feedback: what they minimise, what they keep, and that they teach a policy which items are liked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import in_world, observations, probe_world, tiny_network, tiny_params, tiny_scene

from ialp_jax.artifacts import InputError
from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.methods.learners.actor_critic import ActorCriticConfig, ActorCriticLearner
from ialp_jax.methods.learners.feedback import Answered, FeedbackConfig, feedback_loss
from ialp_jax.policies.memory import opened
from ialp_jax.worlds.simulator import SimulatorConfig

ITEMS = 14
NETWORK = tiny_network(ITEMS, "session")
PARAMS = tiny_params(NETWORK)


def test_the_loss_is_half_the_mean_squared_error_of_the_scores():
    known = observations([[ITEMS, 2, 7, 1], [1, 2, 3, 4]], [[0.0, 0.5, 1.0, 0.25], [0.0, 0.2, 0.9, 1.0]])
    memory = jax.vmap(lambda one: opened(one, 20, ITEMS))(known)
    action, feedback = jnp.array([3, 9]), jnp.array([1.0, 0.25])
    features = NETWORK.begin(PARAMS, known).features
    scores = NETWORK.query(PARAMS, features) @ PARAMS["items"].T + PARAMS["bias"][None]
    errors = np.asarray(scores)[[0, 1], [3, 9]] - np.asarray(feedback)
    found = feedback_loss(NETWORK, PARAMS, Answered(memory, action, feedback))
    np.testing.assert_allclose(found, 0.5 * np.mean(errors**2), rtol=1e-5)


def test_another_encoder_is_refused_by_field():
    scene = tiny_scene(tiny_network(ITEMS, "gru"))
    with pytest.raises(InputError, match=r"policy\.encoder.*session"):
        ActorCriticLearner(scene, ActorCriticConfig(model=FeedbackConfig(feedback_steps=1)))
    ActorCriticLearner(scene, ActorCriticConfig())


def trained(steps, rate, asked=0, histories=((0,), (1,))):
    """Predicted feedback of every item after some updates; item i pays i / 13, whoever is asked. No policy gradient."""
    pays = [list(np.arange(ITEMS) / (ITEMS - 1))] * 2
    world = probe_world(pays, histories)
    scene = tiny_scene(NETWORK, SimulatorConfig(turn_cap=3, rules=()), users=16, updates=60)
    model = FeedbackConfig(feedback_steps=steps, kept_decisions=16 * 64)
    config = ActorCriticConfig(model=model, asked=asked)
    hyper = ActorCriticHyper(learning_rate=1e-9, feedback_rate=rate)
    learner, data = ActorCriticLearner(scene, config), in_world(world)

    @jax.jit
    def run(params):
        state = learner.init(jax.random.key(0), hyper, data, (params,))
        step = lambda state, _: learner.update(state, hyper, data)  # noqa: E731
        return jax.lax.scan(step, state, None, length=60)

    state, metrics = run(PARAMS)
    features = NETWORK.begin(state.params, observations(histories[:1], [[1.0] * len(histories[0])])).features
    scores = NETWORK.query(state.params, features) @ state.params["items"].T + state.params["bias"][None]
    return np.asarray(scores)[0], metrics


@pytest.mark.usefixtures("batched_keys")
def test_the_scores_become_the_feedback():
    expected = np.arange(ITEMS) / (ITEMS - 1)
    fitted, metrics = trained(8, 1e-2)
    still, _ = trained(8, 1e-9)
    error = lambda scores: np.mean((scores[1:] - expected[1:]) ** 2)  # noqa: E731
    assert error(fitted) < 0.2 * error(still)  # items that are never tried stay wrong
    assert metrics["feedback_loss"][-5:].mean() < 0.2 * metrics["feedback_loss"][0]


@pytest.mark.parametrize(("decisions", "turns"), [(16 * 5, 5), (16 * 5 + 15, 5), (3, 4)])
def test_what_is_kept_is_bounded_over_all_users_but_holds_a_rollout(decisions, turns):
    scene = tiny_scene(NETWORK, SimulatorConfig(turn_cap=3, rules=()), users=16, rollout=4)
    learner = ActorCriticLearner(scene, ActorCriticConfig(model=FeedbackConfig(kept_decisions=decisions)))
    run = learner.init(
        jax.random.key(0), ActorCriticHyper(), in_world(probe_world([[0.5] * ITEMS], [[0]])), (PARAMS,)
    )
    assert run.feedback.replay.turns.experience.action.shape == (16, turns)


def test_without_steps_nothing_is_kept():
    learner = ActorCriticLearner(tiny_scene(NETWORK))
    world = probe_world([[0.5] * ITEMS], [[0]])
    assert learner.init(jax.random.key(0), ActorCriticHyper(), in_world(world), (PARAMS,)).feedback is None
