"""A-iALP_ap as a choice by value: against explicit enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_rows import ON, PRE, p_value, rows_of

from ialp_jax.methods.named.a_ialp_ap_value import choose_by_value


def test_the_value_choice_has_the_probability_it_claims():
    """P(a) by enumeration; the recorded estimate averages to it for every item."""
    scores = np.array([0.3, -0.5, 1.0, 0.2])
    prefers = 1 / (1 + np.exp(-(scores[:, None] - scores[None, :])))
    exact = PRE * (prefers @ ON) + ON * (prefers @ PRE)
    assert exact.sum() == pytest.approx(1.0)
    score = lambda items: jnp.asarray(scores, jnp.float32)[items]  # noqa: E731
    item, choice = jax.jit(lambda key: choose_by_value(key, rows_of(PRE), rows_of(ON), score, False))(
        jax.random.key(1)
    )
    item, claimed = np.asarray(item), np.exp(np.asarray(choice.behaviour))
    assert p_value(item, exact) > 1e-3
    for one in range(4):
        estimates = claimed[item == one]
        error = estimates.std() / np.sqrt(len(estimates))
        assert abs(estimates.mean() - exact[one]) < 4 * error + 1e-6 and error < 2e-3


def test_policy_expansions_golden_number():
    """Known answer: q = (1.0, 1.2), kappa 10 takes the better proposal with probability .880797."""
    pre, on = rows_of(np.array([1.0, 0.0])), rows_of(np.array([0.0, 1.0]))
    score = lambda items: 10.0 * jnp.array([1.0, 1.2])[items]  # noqa: E731
    item, choice = jax.jit(lambda key: choose_by_value(key, pre, on, score, False))(jax.random.key(2))
    golden = np.array([1 - 0.880797, 0.880797])
    assert p_value(np.asarray(item), golden) > 1e-3
    np.testing.assert_allclose(np.exp(choice.behaviour), golden[np.asarray(item)], atol=1e-5)
    item, _ = choose_by_value(jax.random.key(2), pre, on, score, True)
    np.testing.assert_array_equal(np.unique(item), [1])
