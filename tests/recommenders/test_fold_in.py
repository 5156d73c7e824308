"""Folding in equals the exact step of alternating least squares, and a calibration the least squares it states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import items_dataset

from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.recommenders.calibration import Answers, answers, calibrate, item_weights, with_one
from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.recommenders.fold_in import fit_fold_in, fold_in, tastes
from ialp_jax.study.logged import history_sessions
from ialp_jax.worlds.types import Observation

CONFIG = FactorsConfig(rank=3, iterations=4, regularisation=0.4, unobserved_weight=0.1, grade_weight=2.0)


def half_step(dataset, items, grades):
    """One user's row of alternating least squares with every item of the catalogue, in float64."""
    factors = offline_factors(dataset, CONFIG)
    features = np.column_stack([factors.item, np.ones(dataset.num_items)]).astype(float)
    offset = float(factors.mean) + np.asarray(factors.item_bias, float)
    explicit = dataset.feedback == "explicit"
    low, high = dataset.rating_range
    targets, weights = np.zeros(dataset.num_items), np.full(dataset.num_items, 0.0 if explicit else 0.1)
    targets[items] = low + (high - low) * np.asarray(grades) if explicit else 1.0
    weights[items] = 1.0 if explicit else 1.0 + 2.0 * np.asarray(grades)
    gram = features.T @ (weights[:, None] * features) + 0.4 * np.eye(4)
    return np.linalg.solve(gram, features.T @ (weights * (targets - offset)))


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
@pytest.mark.parametrize("items", [[3, 7, 1], [5], []])
def test_folding_in_is_the_exact_half_step(feedback, items):
    dataset = items_dataset(feedback)
    grades = [0.25 * (place + 1) for place in range(len(items))]
    padding = 4 - len(items)
    history = Observation(
        jnp.asarray([dataset.num_items] * padding + items, jnp.int32),
        jnp.asarray([0.0] * padding + grades, jnp.float32),
    )
    user = jax.jit(fold_in)(fit_fold_in(dataset, CONFIG), history)
    np.testing.assert_allclose(user, half_step(dataset, items, grades), rtol=1e-3, atol=1e-4)


def test_an_offline_user_folded_in_by_all_they_did_is_their_row_of_the_factorisation():
    """Users are solved first in a pass: one more half step from the items of the last pass gives them again at the end."""
    dataset = items_dataset("implicit")
    settled = FactorsConfig(
        rank=3, iterations=400, regularisation=0.4, unobserved_weight=0.1, grade_weight=2.0
    )
    factors = offline_factors(dataset, settled)
    rows = dataset.interactions.filter(dataset.interactions["user"] == 0)  # the first offline user
    history = Observation(
        jnp.asarray(rows["item"].to_numpy()), jnp.asarray(rows["grade"].to_numpy(), jnp.float32)
    )
    user = fold_in(fit_fold_in(dataset, settled), history)
    expected = np.append(factors.user[0], factors.user_bias[0])
    np.testing.assert_allclose(user, expected, atol=5e-3)


def test_only_offline_users_are_read():
    dataset = items_dataset("implicit")
    online = dataset.users.filter(dataset.users["split"] == "online")["user"].implode()
    other = items_dataset("implicit", without=dataset.interactions["user"].is_in(online))
    for left, right in zip(
        *(jax.tree.leaves(fit_fold_in(one, CONFIG)) for one in (dataset, other)), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_the_mean_offline_user_feels_what_is_popular_and_has_no_taste():
    dataset = items_dataset("implicit")
    fit, factors = fit_fold_in(dataset, CONFIG), offline_factors(dataset, CONFIG)
    affinities = (
        factors.mean + factors.user_bias[:, None] + factors.item_bias[None] + factors.user @ factors.item.T
    )
    np.testing.assert_allclose(fit.popular, affinities.mean(axis=0), atol=1e-5)


def known_answers(fit, numbers, rows=400, noise=0.0):
    generator = np.random.default_rng(0)
    taste = generator.normal(size=(rows, 3)).astype(np.float32)
    item = generator.integers(0, fit.item.shape[0], rows)
    personal = (taste * np.asarray(fit.item)[item]).sum(axis=1)
    inputs = np.column_stack([personal, np.asarray(fit.popular)[item], np.ones(rows)])
    feedback = inputs @ numbers + noise * generator.normal(size=rows)
    return inputs, Answers(
        jnp.asarray(taste), jnp.asarray(item, jnp.int32), jnp.asarray(feedback, jnp.float32)
    )


def test_a_calibration_finds_the_numbers_that_made_the_feedback():
    fit, numbers = fit_fold_in(items_dataset("implicit"), CONFIG), (1.5, 0.6, 0.1)
    scale = calibrate(fit, known_answers(fit, numbers)[1])
    np.testing.assert_allclose([scale.personal, scale.popular, scale.constant], numbers, rtol=1e-3, atol=1e-4)


def test_a_calibration_is_least_squares():
    fit = fit_fold_in(items_dataset("implicit"), CONFIG)
    inputs, given = known_answers(fit, (1.5, 0.6, 0.1), noise=0.3)
    scale = calibrate(fit, given)
    expected = np.linalg.lstsq(inputs, np.asarray(given.feedback, float), rcond=None)[0]
    np.testing.assert_allclose(
        [scale.personal, scale.popular, scale.constant], expected, rtol=1e-3, atol=1e-4
    )
    predicted = jnp.sum(with_one(given.taste) * item_weights(fit, scale)[given.item], axis=1)
    np.testing.assert_allclose(predicted, inputs @ expected, atol=1e-3)


def test_answers_are_the_turns_that_are_no_padding_with_the_taste_of_the_opening_history():
    dataset = items_dataset("implicit")
    fit = fit_fold_in(dataset, CONFIG)
    logged: LoggedSessions = history_sessions(dataset, 3, 5, masked=True)
    given = answers(fit, logged)
    row = 0
    for session, length in enumerate(np.asarray(logged.length)):
        opening = jax.tree.map(lambda leaf, session=session: leaf[session, :1], logged.window)
        for turn in range(length):
            np.testing.assert_allclose(given.taste[row], tastes(fit, opening)[0], atol=1e-4)
            assert given.item[row] == logged.action[session, turn]
            assert given.feedback[row] == logged.feedback[session, turn]
            row += 1
    assert row == given.item.size > 20
