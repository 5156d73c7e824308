"""The bfloat16 head against float64 over rounded factors: log-probability, entropy and gradients, on every instruction set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bfloat16_errors import COMBINATIONS, errors, gathered_error
from catalogue_cases import PLANS
from head_gradients import WAYS

from ialp_jax.policies.catalogue.products import cotangent_terms, product, rounded

BOUND = 1e-5
REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.mark.parametrize("jitted", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PLANS)
def test_it_is_exact_over_rounded_factors(name, way, jitted):
    assert max(errors(name, way, jitted).values()) < BOUND


@pytest.mark.parametrize("name", PLANS)
def test_every_item_has_one_logit(name):
    assert gathered_error(name) < BOUND


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["", "--xla_cpu_max_isa=AVX2"])
def test_it_is_so_with_every_instruction_set(flags):
    """In a process of its own, with the optimisations that the tests switch off: those drop pairs of casts."""
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(REFERENCE), "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, REFERENCE / "bfloat16_errors.py"], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    worst = json.loads(run.stdout)
    assert len(worst) == len(PLANS) * (len(COMBINATIONS) * 3 + 1)
    assert {what: error for what, error in worst.items() if error >= BOUND} == {}


def test_rounding_is_to_the_nearest_bfloat16_and_lets_gradients_pass():
    numbers = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    value, gradient = jax.vmap(jax.value_and_grad(lambda x: rounded(x, "bfloat16")))(numbers)
    np.testing.assert_array_equal(value, numbers.astype(jnp.bfloat16).astype(np.float32))
    np.testing.assert_array_equal(gradient, np.ones(1000))
    np.testing.assert_array_equal(rounded(numbers, "float32"), numbers)


def test_the_terms_of_a_cotangent_are_bfloat16_and_add_up():
    numbers = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    high, low = jax.jit(lambda x: cotangent_terms(x, "bfloat16"))(numbers)
    for term in (high, low):
        np.testing.assert_array_equal(term, np.asarray(term).astype(jnp.bfloat16).astype(np.float32))
    assert np.max(np.abs(high - numbers) / np.abs(numbers)) > 2.0**-10  # one term would not do
    assert np.max(np.abs(high + low - numbers) / np.abs(numbers)) < 2.0**-17


def test_accelerators_are_given_bfloat16_products_only():
    """Forward and backward, lowered for devices that are not here; float32 factors would leave their fast units."""

    def step(left, right):
        return jax.value_and_grad(lambda *factors: jnp.sum(product(*factors, "bfloat16") ** 2), (0, 1))(
            left, right
        )

    shapes = jax.ShapeDtypeStruct((128, 32), jnp.float32), jax.ShapeDtypeStruct((32, 256), jnp.float32)
    for platform in ("cuda", "tpu"):
        text = jax.jit(step).trace(*shapes).lower(lowering_platforms=(platform,)).as_text()
        products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
        assert len(products) == 5  # one forward, two terms of the cotangent for each factor
        assert all(line.count("xbf16>") == 2 and line.rstrip().endswith("xf32>") for line in products)
