"""Tastes of a session and weights of items are the ridge regressions that they are said to be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import items_dataset

from ialp_jax.policies.memory import Memory
from ialp_jax.recommenders.calibration import Answers, with_one
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in, history_equations, tastes
from ialp_jax.recommenders.online_factors import item_evidence, item_prior, session_tastes
from ialp_jax.worlds.types import Observation

FIT = fit_fold_in(items_dataset(), FactorsConfig(rank=3, regularisation=0.4, unobserved_weight=0.1))
ITEMS = 15
KNOWN = Observation(jnp.array([[15, 2, 7]], jnp.int32), jnp.array([[0.0, 0.5, 1.0]]))
WEIGHTS = jnp.asarray(np.random.default_rng(3).normal(size=(ITEMS, 4)), jnp.float32)


def session(items, feedback):
    """One user's session with five slots."""
    padding = 5 - len(items)
    return Memory(
        KNOWN,
        jnp.asarray([[ITEMS] * padding + items], jnp.int32),
        jnp.asarray([[0.0] * padding + feedback], jnp.float32),
    )


def test_a_session_without_answers_has_the_taste_of_its_history():
    found = session_tastes(FIT, WEIGHTS, session([], []), jnp.float32(3.0))
    np.testing.assert_allclose(found, tastes(FIT, KNOWN), atol=1e-5)


@pytest.mark.parametrize("answer_weight", [0.5, 4.0])
def test_answers_join_the_history_in_one_regression(answer_weight):
    items, feedback = [4, 11, 0], [1.0, 0.0, 0.75]
    found = session_tastes(FIT, WEIGHTS, session(items, feedback), jnp.float32(answer_weight))
    gram, pull = (
        np.asarray(part, float) for part in history_equations(FIT, jax.tree.map(lambda leaf: leaf[0], KNOWN))
    )
    centre, weights = np.asarray(FIT.centre, float), np.asarray(WEIGHTS, float)
    for item, answer in zip(items, feedback, strict=True):
        slope = np.append(weights[item, :3], 0.0)
        gram += answer_weight * np.outer(slope, slope)
        pull += answer_weight * (answer - weights[item, 3] + slope @ centre) * slope
    expected = np.linalg.solve(gram, pull) - centre
    np.testing.assert_allclose(found[0], expected[:3], rtol=1e-3, atol=1e-4)


def test_many_answers_as_predicted_leave_the_taste_that_predicts_them():
    taste = np.array([0.3, -0.8, 0.5])
    items = [4, 11, 0, 8, 9]
    feedback = (np.asarray(WEIGHTS)[items] @ np.append(taste, 1.0)).tolist()
    found = session_tastes(FIT, WEIGHTS, session(items, feedback), jnp.float32(1e4))
    np.testing.assert_allclose(found[0], taste, atol=0.02)


def answers_of(rows=60):
    generator = np.random.default_rng(4)
    return Answers(
        jnp.asarray(generator.normal(size=(rows, 3)), jnp.float32),
        jnp.asarray(generator.integers(0, ITEMS - 1, rows), jnp.int32),
        jnp.asarray(generator.random(rows), jnp.float32),
    )


def test_items_are_regressions_on_their_answers_around_the_prior():
    given, strength = answers_of(), 2.5
    users = np.asarray(with_one(given.taste), float)
    moment = users.T @ users / len(users) + 1e-4 * np.eye(4)
    evidence = item_prior(WEIGHTS, with_one(given.taste), jnp.float32(strength)).and_also(
        item_evidence(given, ITEMS)
    )
    for item in range(ITEMS):
        rows = np.asarray(given.item) == item
        gram = strength * moment + users[rows].T @ users[rows]
        pull = (
            strength * moment @ np.asarray(WEIGHTS, float)[item]
            + np.asarray(given.feedback)[rows] @ users[rows]
        )
        np.testing.assert_allclose(evidence.mean[item], np.linalg.solve(gram, pull), rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(
        evidence.mean[ITEMS - 1], WEIGHTS[ITEMS - 1], atol=1e-3
    )  # which nobody answered


def test_with_many_answers_the_prior_is_forgotten():
    generator = np.random.default_rng(6)
    taste = generator.normal(size=(3000, 3)).astype(np.float32)
    truth = np.array([0.4, -0.2, 0.1, 0.6])
    feedback = with_one(jnp.asarray(taste)) @ jnp.asarray(truth, jnp.float32)
    given = Answers(jnp.asarray(taste), jnp.zeros(3000, jnp.int32), feedback)
    evidence = item_prior(WEIGHTS, with_one(given.taste), jnp.float32(10.0)).and_also(
        item_evidence(given, ITEMS)
    )
    np.testing.assert_allclose(evidence.mean[0], truth, atol=0.02)
