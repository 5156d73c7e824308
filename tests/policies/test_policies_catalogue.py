"""The catalogue head against float64 NumPy: probabilities, gradients, sampling, masks."""

from functools import partial

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import chisquare

from ialp_jax.policies.catalogue import (
    BLOCK_ITEMS,
    MASKED,
    CatalogueDistribution,
    catalogue_logits,
    head_statistics,
    inverse_cdf,
)

LEVEL = 1e-3  # of the chi-square checks; keys are fixed, so they pass or fail for good


def exact(logits):
    """Float64 log-probabilities and entropy of masked logits."""
    log_probs = log_softmax(np.asarray(logits, np.float64), axis=-1)
    return log_probs, -np.sum(np.where(log_probs < -1e20, 0.0, np.exp(log_probs) * log_probs), axis=-1)


@partial(jax.jit, static_argnums=2)
def draw(key, logits, draws):
    """Draws of every row."""
    return CatalogueDistribution(logits).sample(seed=key, sample_shape=(draws,))


def masked(logits, rows):
    """Logits [R, N] with the listed items of each row masked."""
    out = np.array(logits, np.float32)
    for row, items in enumerate(rows):
        out[row, items] = MASKED
    return out


def goodness_of_fit(draws, probabilities):
    """P-value of the draws; rare items are pooled so that every cell expects at least five."""
    expected = np.asarray(probabilities, np.float64) * draws.size
    counts = np.bincount(draws, minlength=expected.size).astype(float)
    order = np.argsort(expected)
    rare = order[: np.searchsorted(np.cumsum(expected[order]), 5.0) + 1]
    keep = np.setdiff1d(order, rare)
    cells = np.append(counts[keep], counts[rare].sum()), np.append(expected[keep], expected[rare].sum())
    return chisquare(cells[0], cells[1] * cells[0].sum() / cells[1].sum()).pvalue


LOGITS = {
    "plain": np.random.default_rng(0).normal(0, 2, (4, 150)),
    "one row": np.random.default_rng(1).normal(0, 2, (1, 70)),
    "fewer items than a block": np.random.default_rng(2).normal(0, 2, (3, 5)),
    "huge": np.array([[1e4, -1e4, 0.0, 1e4], [-1e4, -1e4, -1e4, -1e4 + 1]]),
    "some masked": masked(np.random.default_rng(3).normal(0, 2, (2, 90)), [range(40), [3, 89]]),
    "one left": masked(np.zeros((1, 130)), [[*range(77), *range(78, 130)]]),
}


@pytest.mark.parametrize("name", LOGITS)
def test_log_prob_entropy_mode_and_top_k_are_exact(name):
    logits = np.asarray(LOGITS[name], np.float32)
    distribution = CatalogueDistribution(jnp.asarray(logits))
    log_probs, entropy = exact(logits)
    best = np.argmax(logits, axis=-1)
    near = {
        "rtol": 1e-5,
        "atol": 1e-6 * max(10.0, np.abs(logits[logits > MASKED]).max()),
    }  # float32 at that size
    for item in (best, np.zeros_like(best)):
        expected = log_probs[np.arange(len(item)), item]
        np.testing.assert_allclose(distribution.log_prob(jnp.asarray(item)), expected, **near)
    np.testing.assert_allclose(distribution.entropy(), entropy, **near)
    np.testing.assert_array_equal(distribution.mode(), best)
    top = np.asarray(distribution.top_k(3))
    np.testing.assert_array_equal(top, np.argsort(-logits, axis=-1, kind="stable")[:, :3])


def test_it_agrees_with_distrax_categorical():
    logits = jnp.asarray(LOGITS["some masked"], jnp.float32)
    ours, theirs = CatalogueDistribution(logits), distrax.Categorical(logits)
    items = jnp.array([44, 5])
    np.testing.assert_allclose(ours.log_prob(items), theirs.log_prob(items), rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-5)
    item, log_prob = ours.sample_and_log_prob(seed=jax.random.key(0))
    np.testing.assert_allclose(log_prob, theirs.log_prob(item), rtol=1e-5)
    assert item.shape == ours.batch_shape == (2,) and ours.event_shape == ()


@pytest.mark.parametrize("items", [5, BLOCK_ITEMS, 150, 700])
def test_frequencies_are_the_probabilities_and_a_wrong_distribution_is_noticed(items):
    logits = jnp.asarray(np.random.default_rng(items).normal(0, 1.5, items), jnp.float32)
    draws = np.asarray(draw(jax.random.key(7), logits, 40_000))
    probabilities = np.exp(exact(logits)[0])
    assert goodness_of_fit(draws, probabilities) > LEVEL
    assert goodness_of_fit(draws, np.exp(exact(1.1 * logits)[0])) < LEVEL
    assert goodness_of_fit(draws, np.roll(probabilities, 1)) < LEVEL


def test_rows_are_drawn_apart():
    logits = jnp.zeros((2000, 2))
    draws = np.asarray(draw(jax.random.key(0), logits, 1)[0])
    assert goodness_of_fit(draws, np.full(2, 0.5)) > LEVEL
    assert goodness_of_fit(draws[::2] * 2 + draws[1::2], np.full(4, 0.25)) > LEVEL


def test_masked_items_are_never_drawn():
    allowed = np.array([0, 63, 64, 129])
    logits = np.full(130, MASKED, np.float32)
    logits[allowed] = [-40.0, 3.0, 2.0, 3.0]
    draws = draw(jax.random.key(1), jnp.asarray(logits), 100_000)
    assert set(np.unique(draws)) == {63, 64, 129}


@pytest.mark.parametrize("blocks", [3, 1000])
def test_rounding_never_leads_to_an_item_without_weight(blocks):
    """Uniform numbers at every block's edge and their neighbours, where a prefix sum rounds either way."""
    generator = np.random.default_rng(blocks)
    weights = generator.random((blocks, BLOCK_ITEMS)) * (generator.random((blocks, 1)) < 0.5)
    weights = jnp.asarray(weights * (generator.random(weights.shape) < 0.5), jnp.float32).at[0, 0].set(1.0)
    edges = np.asarray(jax.jit(jnp.cumsum)(weights.sum(axis=1)))
    uniform = (edges / edges[-1]).astype(np.float32)
    uniform = np.stack([uniform, np.nextafter(uniform, np.float32(0)), np.nextafter(uniform, np.float32(2))])
    uniform = np.clip(np.append(uniform, 0.0), 0.0, 1 - 2.0**-24).astype(np.float32)
    drawn = jax.jit(jax.vmap(inverse_cdf, (0, None)))(jnp.asarray(uniform), weights.reshape(-1))
    assert np.all(np.asarray(weights).reshape(-1)[np.asarray(drawn)] > 0)


def test_padding_ids_are_no_items():
    """Id N pads the lists of excluded and of allowed items."""
    logits = catalogue_logits(
        jnp.zeros((2, 1)), jnp.zeros((4, 1)), jnp.arange(4.0),
        jnp.array([[4, 4], [0, 4]]), jnp.zeros((2, 0), jnp.int32),
    )  # fmt: skip
    np.testing.assert_array_equal(logits > MASKED, [[True] * 4, [False, True, True, True]])
    logits = catalogue_logits(
        jnp.zeros((1, 1)), jnp.zeros((4, 1)), jnp.arange(4.0), jnp.array([[3]]), jnp.array([[1, 3, 4]])
    )
    np.testing.assert_array_equal(logits > MASKED, [[False, True, False, False]])


def head_case(rows, items, allowed=0, scale=1.0, width=3, seed=0):
    """Inputs of the head: query, items, bias, actions, excluded, allowed; actions are never masked."""
    generator = np.random.default_rng(seed)
    orders = np.stack([generator.permutation(items) for _ in range(rows)])
    actions = orders[:, 0]
    excluded = np.concatenate([orders[:, 1:3], np.full((rows, 2), items)], axis=1)
    permitted = (
        np.concatenate([orders[:, :allowed], np.full((rows, 1), items)], axis=1) if allowed else orders[:, :0]
    )
    floats = [generator.normal(0, scale, shape) for shape in ((rows, width), (items, width), items)]
    return [np.asarray(array, np.float32) for array in floats] + [
        np.asarray(array, np.int32) for array in (actions, excluded, permitted)
    ]


def numpy_head(query, items, bias, actions, excluded, allowed):
    """Float64 log-probability and entropy per row, from the definition: a softmax over what is permitted."""
    results = []
    for row, action in enumerate(actions):
        permitted = set(allowed[row]) if allowed.shape[1] else set(range(len(bias)))
        ids = np.array(sorted(permitted - set(excluded[row]) - {len(bias)}))
        log_probs = log_softmax(items[ids] @ query[row] + bias[ids])
        results.append((log_probs[ids == action][0], -np.sum(np.exp(log_probs) * log_probs)))
    return np.array(results).T


HEADS = {
    "blocks divide the rows": (6, 70, 0, 3), "last block is short": (5, 70, 0, 2), "one row": (1, 9, 0, 4),
    "one block": (4, 65, 0, 100), "allowed list": (5, 70, 6, 2),
}  # fmt: skip


@pytest.mark.parametrize("known", [False, True], ids=["computed", "known from the rollout"])
@pytest.mark.parametrize("name", HEADS)
def test_the_blocked_head_and_its_gradients_are_exact(name, known):
    """Gradients by central differences of the float64 definition, in every coordinate."""
    rows, num_items, allowed, block_rows = HEADS[name]
    *floats, actions, excluded, permitted = head_case(rows, num_items, allowed)
    lists = [jnp.asarray(array) for array in (actions, excluded, permitted)]
    upstream = np.random.default_rng(9).normal(size=(2, rows)).astype(np.float32)

    def ours(query, items, bias):
        statistics = None
        if known:
            dense = CatalogueDistribution(catalogue_logits(query, items, bias, lists[1], lists[2]))
            statistics = jax.lax.stop_gradient(dense.statistics(lists[0]))
        log_prob, entropy = head_statistics(block_rows, query, items, bias, *lists, statistics)
        return jnp.sum(upstream[0] * log_prob + upstream[1] * entropy), (log_prob, entropy)

    def theirs(parameters):
        return np.sum(upstream * numpy_head(*parameters, actions, excluded, permitted))

    (_, found), gradients = jax.jit(jax.value_and_grad(ours, argnums=(0, 1, 2), has_aux=True))(*floats)
    point = [array.astype(np.float64) for array in floats]
    np.testing.assert_allclose(found, numpy_head(*point, actions, excluded, permitted), rtol=1e-5, atol=1e-5)
    for which, gradient in enumerate(map(np.asarray, gradients)):
        for index in np.ndindex(gradient.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [array.copy() for array in point]
                moved[which][index] += step
                sides.append(theirs(moved))
            assert gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4, abs=1e-5)


def test_the_blocked_head_survives_huge_logits_and_a_single_item():
    query, items, bias = jnp.array([[1.0]]), jnp.array([[1e4], [-1e4], [1e4]]), jnp.zeros(3)
    none = jnp.zeros((1, 0), jnp.int32)

    def both(query, items, bias, excluded):
        return head_statistics(8, query, items, bias, jnp.array([0]), excluded, none)

    log_prob, entropy = jax.jit(both)(query, items, bias, jnp.array([[3]]))
    np.testing.assert_allclose(log_prob, np.log(0.5), atol=2e-3)  # one float32 step at 1e4 is 1e-3
    np.testing.assert_allclose(entropy, np.log(2.0), atol=2e-3)
    only = jnp.array([[1, 2]])
    np.testing.assert_array_equal(jnp.stack(jax.jit(both)(query, items, bias, only)), [[0.0], [0.0]])
    gradient = jax.grad(lambda *arrays: sum(map(jnp.sum, both(*arrays, only))), argnums=(0, 1, 2))
    gradients = jax.jit(gradient)(query, items, bias)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, jnp.zeros_like(gradient))
