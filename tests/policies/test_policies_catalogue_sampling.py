"""Items are drawn with their probabilities: chi-square tests against exact probabilities."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue_cases import CASES, LEVEL, PLANS, case, exact_log_probs, goodness_of_fit

from ialp_jax.policies.catalogue import MASKED, CatalogueDistribution, HeadPlan, catalogue_distribution
from ialp_jax.policies.catalogue.sampling import BLOCK_ITEMS, inverse_cdf

everywhere = pytest.mark.parametrize("name", PLANS)


@partial(jax.jit, static_argnums=(1, 3))
def draw(key, plan, case, draws):
    """Draws of every row."""
    return catalogue_distribution(plan, *case).sample(seed=key, sample_shape=(draws,))


@everywhere
@pytest.mark.parametrize("of", CASES)
def test_frequencies_are_the_probabilities(name, of):
    draws = np.asarray(draw(jax.random.key(7), PLANS[name], CASES[of], 5_000))
    probabilities = np.exp(exact_log_probs(CASES[of]))
    assert draws.shape == (5_000, len(probabilities))
    for row, chances in enumerate(probabilities):
        if np.max(chances) > 1 - 1e-4:
            assert np.mean(draws[:, row] == np.argmax(chances)) > 0.99
            assert np.all(chances[draws[:, row]] > 0)
        else:
            assert goodness_of_fit(draws[:, row], chances) > LEVEL


@everywhere
def test_a_wrong_distribution_is_noticed(name):
    inputs = CASES["plain"]
    draws = np.asarray(draw(jax.random.key(7), PLANS[name], inputs, 20_000))[:, 0]
    log_probs = exact_log_probs(inputs)[0]
    assert goodness_of_fit(draws, np.exp(log_probs)) > LEVEL
    free = np.exp(log_probs) > 0
    warped = np.where(free, np.exp(1.1 * log_probs), 0.0)
    assert goodness_of_fit(draws, warped / warped.sum()) < LEVEL
    rolled = np.zeros(90)
    rolled[free] = np.roll(np.exp(log_probs[free]), 1)
    assert goodness_of_fit(draws, rolled) < LEVEL


@everywhere
def test_temperature_and_bfloat16_are_those_of_the_probabilities(name):
    """The second level recomputes its logits: it has to do so as the first did."""
    plan = HeadPlan(name, rows=3, items=24, group=8, matmul="bfloat16")
    inputs = jax.tree.map(jnp.asarray, case(2, 60, width=40, scale=0.7))

    @jax.jit
    def sample(key):
        head = catalogue_distribution(plan, *inputs, 0.5)
        ids = jnp.broadcast_to(jnp.arange(60)[:, None], (60, 2))
        return head.sample(seed=key, sample_shape=(20_000,)), head.log_prob(ids)

    draws, log_probs = map(np.asarray, sample(jax.random.key(3)))
    for row in range(2):
        chances = np.exp(log_probs[:, row].astype(np.float64))
        assert chances.sum() == pytest.approx(1.0, abs=1e-5)
        assert goodness_of_fit(draws[:, row], chances / chances.sum()) > LEVEL


@everywhere
def test_rows_and_draws_are_drawn_apart(name):
    flat = case(2000, 10, excluded=0, scale=0.0).limited(allowed=np.array([[2, 9]] * 2000, np.int32))
    draws = (np.asarray(draw(jax.random.key(0), PLANS[name], flat, 2)) == 9).astype(int)
    assert goodness_of_fit(draws.reshape(-1), np.full(2, 0.5)) > LEVEL
    assert goodness_of_fit(draws[0, ::2] * 2 + draws[0, 1::2], np.full(4, 0.25)) > LEVEL
    assert goodness_of_fit(draws[0] * 2 + draws[1], np.full(4, 0.25)) > LEVEL


def test_masked_items_are_never_drawn():
    allowed = np.array([0, 63, 64, 129])
    logits = np.full(130, MASKED, np.float32)
    logits[allowed] = [-40.0, 3.0, 2.0, 3.0]
    sample = jax.jit(lambda key: CatalogueDistribution(logits).sample(seed=key, sample_shape=(100_000,)))
    assert set(np.unique(sample(jax.random.key(1)))) == {63, 64, 129}


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
    pairs = jnp.asarray(np.stack([uniform, generator.permutation(uniform)], axis=1))
    drawn = jax.jit(jax.vmap(inverse_cdf, (0, None)))(pairs, weights.reshape(-1))
    assert np.all(np.asarray(weights).reshape(-1)[np.asarray(drawn)] > 0)


def test_items_of_a_millionth_are_drawn_equally_often():
    """One uniform has 2^23 values: shared by both levels it gives an item of a millionth 8 or 9 of them.

    An item with nearly all the mass stands for most of such a catalogue; the uniform is drawn where the rest begins,
    with its true resolution.
    """
    small = 99 * BLOCK_ITEMS
    weights = np.full(small + BLOCK_ITEMS, 1.0e-6)
    weights[:BLOCK_ITEMS] = 0.0
    weights[0] = 1.0 - 1.0e-6 * small
    generator = np.random.default_rng(0)
    start = int(np.ceil(weights[0] * 2**23))
    first = generator.integers(start, 2**23, 300_000) / 2**23
    second = generator.integers(0, 2**23, 300_000) / 2**23
    # What one number for both levels amounts to: its place within the chosen group serves again.
    edges = np.cumsum(weights.reshape(-1, BLOCK_ITEMS).sum(axis=1))
    group = np.searchsorted(edges, first, side="right")
    again = (first - edges[group - 1]) / (BLOCK_ITEMS * 1.0e-6)
    many = jax.jit(jax.vmap(inverse_cdf, (0, None)))
    for level, good in ((second, True), (again, False)):
        pairs = np.stack([first, np.clip(level, 0.0, 1 - 2.0**-23)], axis=1).astype(np.float32)
        items = np.asarray(many(jnp.asarray(pairs), jnp.asarray(weights, jnp.float32))) - BLOCK_ITEMS
        inner = items[(items >= BLOCK_ITEMS) & (items < small - BLOCK_ITEMS)] - BLOCK_ITEMS
        fits = goodness_of_fit(inner, np.full(small - 2 * BLOCK_ITEMS, 1.0 / (small - 2 * BLOCK_ITEMS)))
        assert (fits > LEVEL) == good
