"""The head's gradients against float64, and what they cost in memory: no rows x items array in either direction."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue_cases import PLANS, case, choices, exact_entropy, exact_gradients, exact_log_probs
from head_gradients import WAYS, value_and_gradients

from ialp_jax.policies.catalogue import (
    HeadPlan,
    catalogue_distribution,
    choose_plan,
    head_statistics,
)
from ialp_jax.worlds.types import limits

CASES = {  # rows, items, excluded, allowed, share of the items that are alike
    "tiles divide nothing": (5, 70, 2, 0, None), "tiles divide both": (6, 72, 2, 0, None), "one row": (1, 9, 2, 0, None),
    "one tile": (2, 20, 2, 0, None), "allowed list": (5, 70, 2, 6, None), "all but one masked": (2, 30, 29, 0, None),
    "some alike": (5, 70, 2, 0, 0.5), "some alike, tiles divide both": (6, 72, 2, 0, 0.5),
    "alike and an allowed list": (5, 70, 2, 20, 0.5), "all but one alike": (2, 30, 0, 0, 1.0),
}  # fmt: skip


def test_the_float64_gradients_are_those_of_the_definition():
    """By central differences, in every coordinate of a small case."""
    inputs, actions = case(2, 6, 1), choices(2, 6)[:, 0]
    upstream = np.array([0.7, -1.2]), np.array([0.4, 0.9])
    gradients = exact_gradients(inputs, actions, *upstream)
    point = [array.astype(np.float64) for array in inputs[:3]]

    def objective(moved):
        log_probs = exact_log_probs(
            inputs._replace(**dict(zip(("query", "items", "bias"), moved, strict=True)))
        )
        return np.sum(upstream[0] * log_probs[[0, 1], actions] + upstream[1] * exact_entropy(log_probs))

    for which, gradient in enumerate(gradients):
        for index in np.ndindex(gradient.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [array.copy() for array in point]
                moved[which][index] += step
                sides.append(objective(moved))
            assert gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("of", CASES)
def test_values_and_gradients_are_exact(of, name, way):
    rows, num_items, excluded, allowed, alike = CASES[of]
    inputs, actions = case(rows, num_items, excluded, allowed, alike=alike), choices(rows, num_items)[:, 0]
    upstream = np.random.default_rng(9).normal(size=(2, rows)).astype(np.float32)
    found, gradients = value_and_gradients(way, PLANS[name], inputs, actions, *upstream)
    log_probs = exact_log_probs(inputs)
    np.testing.assert_allclose(found[0], log_probs[np.arange(rows), actions], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], exact_entropy(log_probs), rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients, exact_gradients(inputs, actions, *upstream), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_gradients_at_three_thousand_items_are_those_of_the_dense_head():
    inputs = case(300, 3000, excluded=20, width=32, scale=0.4)
    actions = choices(300, 3000)[:, 0]
    ones = np.ones(300, np.float32)
    blocked = HeadPlan("blocked", rows=128, items=1024)
    _, ours = value_and_gradients("learner", blocked, inputs, actions, ones, ones)
    _, dense = value_and_gradients("distribution", HeadPlan("dense"), inputs, actions, ones, ones)
    exact = exact_gradients(inputs, actions, ones, ones)
    for one, other, truth in zip(ours, dense, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one, truth, rtol=1e-5, atol=1e-5)


def test_huge_logits_and_a_single_item_give_finite_gradients():
    query, items, bias = jnp.array([[1.0]]), jnp.array([[1e4], [-1e4], [1e4]]), jnp.zeros(3)
    first = jnp.array([0])

    def both(query, items, bias, excluded):
        return head_statistics(HeadPlan(), query, items, bias, first, limits(excluded))

    log_prob, entropy = jax.jit(both)(query, items, bias, jnp.array([[3]]))
    np.testing.assert_allclose(log_prob, np.log(0.5), atol=2e-3)  # one float32 step at 1e4 is 1e-3
    np.testing.assert_allclose(entropy, np.log(2.0), atol=1e-6)
    only = jnp.array([[1, 2]])
    np.testing.assert_array_equal(jnp.stack(jax.jit(both)(query, items, bias, only)), [[0.0], [0.0]])
    gradient = jax.grad(lambda *arrays: sum(map(jnp.sum, both(*arrays, only))), argnums=(0, 1, 2))
    for one in jax.jit(gradient)(query, items, bias):
        np.testing.assert_array_equal(one, jnp.zeros_like(one))


def act_and_learn(plan, key, inputs):
    """One decision per row, and the gradients of its log-probability and entropy."""
    actions = catalogue_distribution(plan, *inputs).sample(seed=key)

    def objective(*factors):
        log_prob, entropy = head_statistics(plan, *factors, actions, *inputs[3:])
        return jnp.sum(log_prob) + jnp.sum(entropy)

    return actions, jax.value_and_grad(objective, argnums=(0, 1, 2))(*inputs[:3])


def temporary_bytes(plan, rows, num_items, width=64, excluded=20, alike=False):
    """What the compiled program wants beside its inputs and outputs; nothing is run."""
    factors = (
        jax.ShapeDtypeStruct(shape, jnp.float32)
        for shape in ((rows, width), (num_items, width), (num_items,))
    )
    octets = -(-num_items // 8) if alike else 0
    bits = jax.ShapeDtypeStruct((rows, octets), jnp.uint8)
    lists = jax.eval_shape(limits, jax.ShapeDtypeStruct((rows, excluded), jnp.int32))
    inputs = (*factors, lists.replace(alike=bits))
    lowered = jax.jit(partial(act_and_learn, plan)).lower(jax.random.key(0), inputs)
    return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("matmul", ["float32", "bfloat16"])
def test_three_hundred_thousand_items_fit_in_a_gigabyte(matmul, alike):
    """The logits alone are 1.2 GB."""
    rows, num_items = 1024, 300_000
    plan = choose_plan(rows, num_items, matmul=matmul)
    assert plan.implementation == "blocked"
    assert temporary_bytes(plan, rows, num_items, alike=alike) < 4e8


def test_the_dense_head_would_not_fit():
    """So that the test above measures what it says."""
    assert temporary_bytes(HeadPlan("dense"), 1024, 300_000) > 1e9
