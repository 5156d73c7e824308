"""Methods that need no reinforcement learning: what they serve, what they learn, and what they are charged for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.methods.needs import Need
from ialp_jax.recommenders.calibration import answers, calibrate, item_weights, with_one
from ialp_jax.recommenders.fold_in import tastes
from ialp_jax.recommenders.neighbours import neighbour_scores
from ialp_jax.study.measure import costs_of, fresh_sessions
from ialp_jax.testing.trial import Trial, row

pytestmark = pytest.mark.usefixtures("batched_keys")


def first_choices(method, changes=()):
    """Greedy items of all users at the start of a session, and what they were chosen from."""
    trial = Trial.small(method).having(dict(changes))
    program = trial.program(trial.stages[-1], [0])
    world, learner = program.data.users_world, program.learner
    users = world.session_users
    _, step = jax.vmap(learner.scene.simulator.start, (0, None))(users, world)
    actor = learner.actor(row(program.start(), 0), program.hyper, program.data.hidden(), True)
    keys = actor.keys(jax.random.key(0), users.size)
    items, _ = actor.act(keys, actor.begin(step.observation), step)
    permitted = np.asarray(jax.vmap(lambda one: one.action_mask(world.num_items))(step))
    return program.data, step, np.asarray(items), permitted


@pytest.mark.parametrize("calibrated", [True, False])
def test_mf_shows_the_best_permitted_item_by_its_prediction(calibrated):
    data, step, items, permitted = first_choices("mf", [("methods.mf.calibrated", calibrated)])
    users = tastes(data.fitted, step.observation)
    scores = data.fitted.popular[None] + users @ data.fitted.item.T
    if calibrated:
        weights = item_weights(data.fitted, calibrate(data.fitted, answers(data.fitted, data.logged)))
        scores = with_one(users) @ weights.T
    allowed = np.where(permitted, np.asarray(scores), -np.inf)
    np.testing.assert_allclose(
        allowed[np.arange(len(items)), items], allowed.max(axis=1), rtol=1e-4, atol=1e-5
    )
    assert len(set(items.tolist())) > 2  # it is personal


def test_session_knn_shows_the_nearest_item():
    data, step, items, permitted = first_choices("session_knn")
    scores = jax.vmap(neighbour_scores, (None, 0))(data.fitted, step.observation)
    allowed = np.where(permitted, np.asarray(scores), -np.inf)
    np.testing.assert_allclose(allowed[np.arange(len(items)), items], allowed.max(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("planner", "plain"),
    [("popular_planner", "popular"), ("table_planner", "table_greedy"), ("mf_planner", "mf")],
)
def test_a_planner_is_the_plain_method_served_with_a_look(planner, plain):
    (looking,), (without,) = Trial.small(planner).stages, Trial.small(plain).stages
    assert looking.needs - without.needs == {Need.LIKENESS}
    assert (looking.learner, looking.config, looking.fitted) == (
        without.learner,
        without.config,
        without.fitted,
    )
    assert Trial.small(planner).key(looking) != Trial.small(plain).key(without)


def alike_pairs(method, near, window):
    """How often a greedy session at the start shows an item too like one of the last ones."""
    trial = Trial.small(method)
    program = trial.program(trial.stages[-1], [0])
    played = fresh_sessions(program, program.start(), trial.config, greedy=True)
    count = 0
    for session in played.items[0]:
        shown = session[session < program.learner.scene.num_items]
        for turn, item in enumerate(shown):
            count += near[shown[max(0, turn - window) : turn], item].sum()
    return int(count)


def test_a_look_keeps_alike_items_apart():
    likeness = Trial.small("mf_planner").inputs.likeness
    near = np.unpackbits(np.asarray(likeness.near), axis=1, bitorder="little")
    assert alike_pairs("mf", near, likeness.window) > 0
    for method in ("popular_planner", "mf_planner", "linear_bandit", "mf_planner_online"):
        assert alike_pairs(method, near, likeness.window) == 0, method


def test_recorded_sessions_are_charged_where_they_are_read():
    charged = {}
    for calibrated in (True, False):
        trial = Trial.small("mf").having({"methods.mf.calibrated": calibrated})
        charged[calibrated] = costs_of(trial.stages, trial.inputs, trial.config).logged_steps
    assert charged[False] == 0
    assert charged[True] == int(trial.inputs.recorded.length.sum()) > 0


def one_update(method):
    """A run before and after an update, and the transitions that the update has seen."""
    trial = Trial.small(method)
    program = trial.program(trial.stages[-1], [0])
    before = row(program.start(), 0)
    learner, hyper, data = program.learner, program.hyper, program.data
    served = learner.serve(before.serving, learner.actor(before, hyper, data.hidden()), data)
    after, _ = learner.update(before, hyper, data)
    return program, before, after, served.transitions


def test_the_bandit_adds_every_answer_to_its_evidence():
    program, before, after, seen = one_update("linear_bandit")
    fit, noise = program.data.fitted, program.hyper.noise_variance
    taste = np.asarray(seen.extras, float).reshape(-1, fit.item.shape[1])
    item = np.asarray(fit.item, float)[np.asarray(seen.action).ravel()]
    popular = np.asarray(fit.popular, float)[np.asarray(seen.action).ravel(), None]
    ones = np.ones_like(popular)
    features = np.hstack([taste * item, item, (taste * item).sum(axis=1, keepdims=True), popular, ones])
    added = after.evidence.precision - before.evidence.precision
    np.testing.assert_allclose(added, features.T @ features / noise, rtol=1e-2, atol=2e-2)
    pull = np.asarray(seen.feedback, float).ravel() @ features / noise
    np.testing.assert_allclose(after.evidence.pull - before.evidence.pull, pull, rtol=1e-2, atol=2e-2)


def test_the_online_factorisation_adds_every_answer_to_its_items_evidence():
    program, before, after, seen = one_update("mf_planner_online")
    users = with_one(seen.extras).reshape(-1, program.data.fitted.centre.size)
    precision, pull = np.asarray(before.evidence.precision).copy(), np.asarray(before.evidence.pull).copy()
    for user, item, feedback in zip(
        np.asarray(users), np.asarray(seen.action).ravel(), np.asarray(seen.feedback).ravel(), strict=True
    ):
        precision[item] += np.outer(user, user)
        pull[item] += feedback * user
    np.testing.assert_allclose(after.evidence.precision, precision, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after.evidence.pull, pull, rtol=1e-4, atol=1e-4)
    weights = np.linalg.solve(precision.astype(float), pull.astype(float)[..., None])[..., 0]
    np.testing.assert_allclose(after.weights, weights, rtol=1e-2, atol=1e-3)
    assert jnp.abs(after.weights - before.weights).max() > 1e-3
