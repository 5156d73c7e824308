"""Bayesian linear regression by its closed form, and the features of user and item."""

import jax.numpy as jnp
import numpy as np
import pytest
from item_choices import items_dataset

from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in
from ialp_jax.recommenders.pair_features import item_features, lift, optimistic_scores
from ialp_jax.recommenders.regression import observed, prior, solve


def test_the_posterior_is_the_closed_form():
    """Prior N(0, 100 I), noise variance 625, (1, 0) -> 50 and (1, 1) -> 200; worked out by hand.

    Precision (2 / 625 + .01, 1 / 625; 1 / 625, 1 / 625 + .01), pull (250, 200) / 625.
    """
    inputs, outputs = jnp.array([[1.0, 0.0], [1.0, 1.0]]), jnp.array([50.0, 200.0])
    posterior = prior(jnp.zeros(2), 100.0).and_also(observed(inputs, outputs, 625.0))
    np.testing.assert_allclose(posterior.mean, [27.417641, 23.804463], rtol=1e-5)
    np.testing.assert_allclose(
        posterior.covariance, [[77.045696, -10.626993], [-10.626993, 87.672689]], rtol=1e-5
    )


def test_evidence_in_parts_is_the_evidence_of_all():
    generator = np.random.default_rng(0)
    inputs, outputs = jnp.asarray(generator.normal(size=(9, 3)), jnp.float32), jnp.arange(9.0)
    start = prior(jnp.array([1.0, 0.0, -2.0]), 0.5)
    whole = start.and_also(observed(inputs, outputs, 0.3))
    parts = start.and_also(observed(inputs[:4], outputs[:4], 0.3)).and_also(
        observed(inputs[4:], outputs[4:], 0.3)
    )
    np.testing.assert_allclose(whole.mean, parts.mean, rtol=1e-4)
    np.testing.assert_allclose(start.mean, [1.0, 0.0, -2.0], rtol=1e-6)


def test_many_systems_are_solved_side_by_side():
    grams = jnp.stack([jnp.eye(2), jnp.array([[2.0, 1.0], [1.0, 3.0]])])
    np.testing.assert_allclose(solve(grams, jnp.array([[1.0, 2.0], [4.0, 7.0]])), [[1, 2], [1, 2]], rtol=1e-6)


@pytest.mark.parametrize("optimism", [0.0, 0.7])
def test_scores_are_those_of_the_features_written_out(optimism):
    """Without the detour over M(t): an array of all features."""
    fit = fit_fold_in(items_dataset(), FactorsConfig(rank=3, regularisation=0.4))
    generator = np.random.default_rng(1)
    taste = generator.normal(size=3).astype(np.float32)
    item, popular = np.asarray(fit.item), np.asarray(fit.popular)
    features = np.column_stack([taste * item, item, item @ taste, popular, np.ones(len(item))])
    np.testing.assert_allclose((lift(jnp.asarray(taste)) @ item_features(fit).T).T, features, atol=1e-5)
    answers = jnp.asarray(generator.random(len(item)), jnp.float32)
    evidence = prior(jnp.zeros(9), 2.0).and_also(observed(jnp.asarray(features), answers, 0.1))
    mean, covariance = np.asarray(evidence.mean), np.asarray(evidence.covariance)
    expected = features @ mean + optimism * np.sqrt(np.einsum("nd,de,ne->n", features, covariance, features))
    scores = optimistic_scores(evidence, jnp.asarray(taste), item_features(fit), jnp.float32(optimism))
    np.testing.assert_allclose(scores, expected, atol=1e-4)
