"""The Pallas kernel: what it sums against the tiles of the blocked head, and that accelerators' compilers take it."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue_cases import CASES, PLANS, case

from ialp_jax.policies.catalogue import HeadPlan, choose_plan
from ialp_jax.policies.catalogue.kernel import kernel_partials
from ialp_jax.policies.catalogue.softmax import totals


@pytest.mark.parametrize("matmul", ["float32", "bfloat16"])
@pytest.mark.parametrize("of", CASES)
def test_the_kernel_sums_what_the_tiles_sum(of, matmul):
    inputs = jax.tree.map(jnp.asarray, CASES[of])
    sums = [
        jax.jit(partial(totals, replace(PLANS[name], matmul=matmul)))(*inputs[:3], inputs[3:])
        for name in ("kernel", "blocked")
    ]
    near = {"rtol": 1e-5, "atol": 1e-2 if of == "huge logits" else 1e-5}
    np.testing.assert_allclose(sums[0].log_total, sums[1].log_total, **near)
    np.testing.assert_allclose(sums[0].entropy, sums[1].entropy, **near)


@pytest.mark.parametrize("allowed", [0, 7])
@pytest.mark.parametrize("matmul", ["float32", "bfloat16"])
@pytest.mark.parametrize(("backend", "platform"), [("gpu", "cuda"), ("tpu", "tpu")])
def test_accelerators_take_the_kernel(backend, platform, matmul, allowed):
    """Lowered for a device that is not here: the kernel's operations and shapes exist there."""
    inputs = case(300, 1000, excluded=5, allowed=allowed, width=32)
    plan = choose_plan(300, 1000, "kernel", matmul, backend)
    assert isinstance(plan, HeadPlan) and plan.rows == 128
    traced = jax.jit(partial(kernel_partials, plan, backend=backend)).trace(*inputs)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "custom_call" in text and "catalogue_head" in text
    assert "stablehlo.dot_general" not in text  # the product is inside the kernel
