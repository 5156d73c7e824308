"""The catalogue head in every implementation against float64 NumPy: probabilities, best items, masks, the choice."""

from functools import partial

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue_cases import CASES, PLANS, case, choices, exact_entropy, exact_log_probs

from ialp_jax.policies.catalogue import (
    MASKED,
    CatalogueDistribution,
    HeadPlan,
    catalogue_distribution,
    catalogue_logits,
    choose_plan,
)
from ialp_jax.policies.catalogue.plan import item_blocks
from ialp_jax.worlds.types import limits

everywhere = pytest.mark.parametrize("name", PLANS)


@partial(jax.jit, static_argnums=0)
def summary(plan, case, ids, temperature=1.0):
    """Everything the head says of some items, and its best ones."""
    head = catalogue_distribution(plan, *case, temperature)
    return head.log_prob(ids), head.entropy(), head.mode(), head.top_k(3), head.statistics(ids).log_total


@everywhere
@pytest.mark.parametrize("of", CASES)
def test_log_prob_entropy_mode_and_top_k_are_exact(name, of):
    inputs = CASES[of]
    log_probs = exact_log_probs(inputs)
    rows, permitted = np.arange(len(log_probs)), np.isfinite(log_probs)
    likely = np.argmax(log_probs, axis=1)
    unlikely = np.argmin(np.where(permitted, log_probs, np.inf), axis=1)
    near = {"rtol": 1e-5, "atol": 1e-2 if of == "huge logits" else 1e-5}  # one float32 step at 1e5 is 8e-3
    for ids in (likely, unlikely):
        found, entropy, mode, top, _ = summary(PLANS[name], inputs, jnp.asarray(ids, jnp.int32))
        np.testing.assert_allclose(found, log_probs[rows, ids], **near)
    np.testing.assert_allclose(entropy, exact_entropy(log_probs), **near)
    np.testing.assert_array_equal(mode, likely)
    for row in rows:
        best = np.argsort(-log_probs[row], kind="stable")[: min(3, permitted[row].sum())]
        np.testing.assert_array_equal(top[row, : len(best)], best)


@everywhere
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_temperature_divides_the_logits(name, temperature):
    inputs = CASES["allowed list"]
    log_probs = exact_log_probs(inputs, temperature)
    ids = choices(4, 70)[:, 0]
    found, entropy, *_ = summary(PLANS[name], inputs, jnp.asarray(ids), temperature)
    np.testing.assert_allclose(found, log_probs[np.arange(4), ids], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(entropy, exact_entropy(log_probs), rtol=1e-5, atol=1e-5)
    assert not np.allclose(entropy, exact_entropy(exact_log_probs(inputs)), rtol=1e-2)


@everywhere
def test_masked_items_have_no_probability_and_are_never_the_best(name):
    """The masked item would be the best by far, and lies in the last block."""
    inputs = case(2, 90, excluded=0)
    inputs.bias[89] = 50.0
    free = summary(PLANS[name], inputs, jnp.full(2, 89))
    np.testing.assert_array_equal(free[2], [89, 89])
    inputs.limits.excluded[:, 0] = 89
    found, _, mode, top, _ = summary(PLANS[name], inputs, jnp.full(2, 89))
    assert np.all(np.asarray(found) < MASKED / 2) and not np.any(np.asarray(top) == 89)
    np.testing.assert_array_equal(mode, np.argmax(exact_log_probs(inputs), axis=1))


@everywhere
def test_equal_items_are_ranked_by_their_ids(name):
    inputs = case(2, 90)
    inputs = inputs._replace(
        query=inputs.query * 0, bias=np.where(np.arange(90) % 30 == 29, 1.0, 0.0).astype(np.float32),
    ).limited(excluded=inputs.limits.excluded[:, :0])  # fmt: skip
    top = jax.jit(lambda: catalogue_distribution(PLANS[name], *inputs).top_k(5))()
    np.testing.assert_array_equal(top, [[29, 59, 89, 0, 1]] * 2)


@everywhere
def test_log_probs_of_all_blocks_are_the_distribution(name):
    inputs = CASES["plain"]

    def all_blocks():
        head = catalogue_distribution(PLANS[name], *inputs)
        return [head.log_probs(block) for block in range(head.blocks)]

    total, seen = np.zeros((5, 90)), jax.jit(all_blocks)()
    assert len(seen) == (1 if name == "dense" else 4)
    for ids, log_probs in seen:
        np.add.at(total.T, np.asarray(ids), np.exp(log_probs).T)
    np.testing.assert_allclose(total, np.exp(exact_log_probs(inputs)), atol=1e-6)


@everywhere
def test_bfloat16_rounds_the_factors_and_nothing_else(name):
    """With factors that bfloat16 holds exactly the sums are those of float32; with others they are not."""
    plan = HeadPlan(name, rows=3, items=24, group=8, matmul="bfloat16")
    inputs = case(5, 90, width=64)
    rounded = inputs._replace(
        query=np.asarray(jnp.asarray(inputs.query, jnp.bfloat16), np.float32),
        items=np.asarray(jnp.asarray(inputs.items, jnp.bfloat16), np.float32),
    )
    ids = choices(5, 90)[:, 0]
    found, entropy, *_ = summary(plan, inputs, jnp.asarray(ids))
    log_probs = exact_log_probs(rounded)
    np.testing.assert_allclose(found, log_probs[np.arange(5), ids], atol=2e-5)
    np.testing.assert_allclose(entropy, exact_entropy(log_probs), atol=2e-5)
    assert np.abs(found - exact_log_probs(inputs)[np.arange(5), ids]).max() > 1e-3


def test_implementations_agree_at_three_thousand_items():
    inputs = case(9, 3000, excluded=20, width=32, scale=0.5)
    ids = jnp.asarray(choices(9, 3000)[:, 0])
    dense, blocked = (summary(HeadPlan(kind, items=1024), inputs, ids) for kind in ("dense", "blocked"))
    for one, other in zip(dense, blocked, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_it_agrees_with_distrax_categorical():
    inputs = jax.tree.map(jnp.asarray, CASES["allowed list"])
    logits = catalogue_logits(*inputs)
    theirs = distrax.Categorical(logits)
    items = jnp.asarray(choices(4, 70)[:, 0])
    for ours in (CatalogueDistribution(logits), catalogue_distribution(PLANS["blocked"], *inputs)):
        np.testing.assert_allclose(ours.log_prob(items), theirs.log_prob(items), rtol=1e-5)
        np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-5)
        item, log_prob = ours.sample_and_log_prob(seed=jax.random.key(0))
        np.testing.assert_allclose(log_prob, theirs.log_prob(item), rtol=1e-5)
        assert item.shape == ours.batch_shape == (4,) and ours.event_shape == ()
        assert ours.sample(seed=jax.random.key(0), sample_shape=(2, 3)).shape == (2, 3, 4)


def test_padding_ids_are_no_items():
    """Id N pads the lists of excluded and of allowed items."""
    logits = catalogue_logits(
        jnp.zeros((2, 1)), jnp.zeros((4, 1)), jnp.arange(4.0),
        limits(jnp.array([[4, 4], [0, 4]])),
    )  # fmt: skip
    np.testing.assert_array_equal(logits > MASKED, [[True] * 4, [False, True, True, True]])
    logits = catalogue_logits(
        jnp.zeros((1, 1)),
        jnp.zeros((4, 1)),
        jnp.arange(4.0),
        limits(jnp.array([[3]]), jnp.array([[1, 3, 4]])),
    )
    np.testing.assert_array_equal(logits > MASKED, [[False, True, False, False]])


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("num_items", [1, 7, 8, 9, 47, 48, 49, 63, 65, 1000])
def test_blocks_cover_the_catalogue_and_stay_inside_it(num_items, grouped):
    for plan in PLANS.values():
        number, size, group = item_blocks(num_items, plan, grouped)
        assert (number - 1) * size < num_items <= number * size and size <= num_items
        assert size <= max(plan.items, num_items if number == 1 else 0)
        assert not grouped or size % group == 0


def test_groups_divide_the_catalogue_where_they_can_so_that_one_block_is_enough():
    plan = HeadPlan()
    assert item_blocks(3000, plan, grouped=True) == (1, 3000, 30)
    assert item_blocks(300_000, plan, grouped=True).group == 32
    assert item_blocks(1511, plan, grouped=True) == (2, 768, 32)  # a prime: the second block reaches back


def test_the_choice_is_by_shape_and_backend_visible_and_overridable():
    assert str(choose_plan(64, 300, backend="cpu")) == "dense/float32"
    assert str(choose_plan(1024, 3000, backend="cpu")) == "blocked/float32/256x4096"
    assert choose_plan(1024, 3000, backend="gpu").implementation == "dense"
    assert choose_plan(1024, 300_000, backend="gpu").implementation == "blocked"
    assert choose_plan(1024, 3000, "dense", "bfloat16", "cpu") == HeadPlan("dense", matmul="bfloat16")
