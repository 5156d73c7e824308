"""The clipped loss against numbers written down by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.learning.clipped import Acted, clipped_loss, clipped_surrogate, value_errors

RATIOS = np.array([0.5, 0.5, 0.9, 0.9, 1.1, 1.1, 2.0, 2.0])
ADVANTAGES = np.array([1.0, -1.0, 3.0, -3.0, 3.0, -3.0, 1.0, -1.0])
# At c = .2 a good action counts for at most 1.2 and a bad one for at least .8.
SURROGATE = np.array([0.5, -0.8, 2.7, -2.7, 3.3, -3.3, 1.2, -2.0])
FLAT = np.array([0, 1, 0, 0, 0, 0, 1, 0], bool)


def floats(*arrays):
    return [jnp.asarray(array, jnp.float32) for array in arrays]


def test_the_surrogate_at_written_down_ratios():
    found = clipped_surrogate(*floats(np.log(RATIOS), ADVANTAGES), 0.2)
    np.testing.assert_allclose(found, SURROGATE, rtol=1e-6)


def test_the_gradient_is_zero_where_it_is_clipped_and_the_ratio_times_the_advantage_elsewhere():
    log_ratio, advantages = floats(np.log(RATIOS), ADVANTAGES)
    slope = jax.grad(lambda log_ratio: jnp.sum(clipped_surrogate(log_ratio, advantages, 0.2)))(log_ratio)
    np.testing.assert_allclose(slope, np.where(FLAT, 0.0, RATIOS * ADVANTAGES), rtol=1e-6)
    assert np.all(np.asarray(slope)[FLAT] == 0.0)


def test_at_ratio_one_the_gradient_is_the_policy_gradients():
    (advantages,) = floats(ADVANTAGES)
    slope = jax.grad(lambda log_ratio: jnp.sum(clipped_surrogate(log_ratio, advantages, 0.2)))(jnp.zeros(8))
    np.testing.assert_allclose(slope, ADVANTAGES, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "target", "plain", "clipped"),
    [
        (1.1, 2.0, 0.405, 0.405),  # a small step counts as it is
        (
            1.5,
            2.0,
            0.125,
            0.32,
        ),  # one that went too far towards the target counts as if it had stopped at 1.2
        (2.5, 1.0, 1.125, 1.125),  # away from the target: the larger error, which is its own
    ],
)
def test_errors_of_values(value, target, plain, clipped):
    arrays = floats([value], [1.0], [target])
    assert float(value_errors(*arrays, None)[0]) == pytest.approx(plain, rel=1e-5)
    assert float(value_errors(*arrays, 0.2)[0]) == pytest.approx(clipped, rel=1e-5)


@pytest.mark.parametrize("value_clip", [False, True])
def test_the_loss_and_its_metrics_written_out(value_clip):
    generator = np.random.default_rng(0)
    before, entropy, values, acted_values, targets = generator.normal(size=(5, 8))
    acted = Acted(*floats(before, acted_values, ADVANTAGES, targets))
    loss, metrics = clipped_loss(
        *floats(before + np.log(RATIOS), entropy, values), acted, 0.2, 0.7, 0.3, value_clip
    )
    errors = (values - targets) ** 2
    if value_clip:
        near = np.clip(values, acted_values - 0.2, acted_values + 0.2)
        errors = np.maximum(errors, (near - targets) ** 2)
    exact = -SURROGATE.mean() + 0.7 * errors.mean() / 2 - 0.3 * entropy.mean()
    assert float(loss) == pytest.approx(exact, rel=1e-5)
    assert float(metrics["value_loss"]) == pytest.approx(errors.mean() / 2, rel=1e-5)
    assert float(metrics["entropy"]) == pytest.approx(entropy.mean(), rel=1e-5)
    assert float(metrics["clip_fraction"]) == 0.5
    assert float(metrics["kl"]) == pytest.approx(np.mean(RATIOS - 1 - np.log(RATIOS)), rel=1e-5)
