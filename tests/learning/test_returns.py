"""Advantages and targets against golden numbers and direct NumPy sums."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.learning.returns import advantage_targets

GOES_ON, TERMINATED, TRUNCATED = range(3)


def targets(rewards, values, next_values, endings, discount, trace, ratios=None, clip=1.0):
    """`advantage_targets` of arrays [T, B]; `endings` are codes."""
    endings = np.asarray(endings)
    ratios = np.ones(endings.shape) if ratios is None else ratios
    floats = [jnp.asarray(array, jnp.float32) for array in (rewards, values, next_values)]
    return jax.jit(advantage_targets)(
        *floats, jnp.asarray(endings == TERMINATED), jnp.asarray(endings != GOES_ON),
        jnp.float32(discount), jnp.float32(trace), jnp.asarray(ratios, jnp.float32), jnp.float32(clip),
    )  # fmt: skip


def column(*numbers):
    return np.array(numbers)[:, None]


def test_gae_golden_numbers():
    """Known answers, computed once by an independent program."""
    found = targets(
        column(1, 0, 2), column(0.5, 0.4, 0.3), column(0.4, 0.3, 0.0), column(0, 0, TERMINATED), 0.9, 0.95
    )
    np.testing.assert_allclose(found.advantages[:, 0], [1.991593, 1.3235, 1.7], atol=1e-6)
    np.testing.assert_allclose(found.values[:, 0], [2.491593, 1.7235, 2.0], atol=1e-6)
    np.testing.assert_allclose(found.action_values, found.values, atol=1e-6)


def random_case(steps, columns, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(3, steps, columns))


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_gae_for_every_placement_of_endings(steps):
    """Against the sum of discounted temporal differences within the session, written out (Schulman et al. 2016)."""
    endings = np.array(list(itertools.product(range(3), repeat=steps))).T
    rewards, values, following = random_case(steps, endings.shape[1])
    discount, trace = 0.8, 0.7
    found = targets(rewards, values, following, endings, discount, trace)
    for place in np.ndindex(endings.shape):
        first, case = place
        advantage = 0.0
        for step in range(first, steps):
            bootstrap = 0.0 if endings[step, case] == TERMINATED else discount * following[step, case]
            surprise = rewards[step, case] + bootstrap - values[step, case]
            advantage += (discount * trace) ** (step - first) * surprise
            if endings[step, case] != GOES_ON:
                break
        assert found.advantages[place] == pytest.approx(advantage, abs=1e-5)
        assert found.values[place] == pytest.approx(values[place] + advantage, abs=1e-5)


@pytest.mark.parametrize("clip", [1.0, 2.5])
def test_lambda_one_with_ratios_is_v_trace(clip):
    """Espeholt et al. 2018, eq. 1: v_s = V_s + sum_t gamma^(t-s) (prod_{i<t} c_i) rho_t delta_t."""
    endings = np.array(list(itertools.product(range(3), repeat=4))).T
    rewards, values, following = random_case(*endings.shape, seed=1)
    # Within a session, V after the action is V when acting next.
    following[:-1] = np.where(endings[:-1] == GOES_ON, values[1:], following[:-1])
    ratios = np.random.default_rng(2).lognormal(0, 1, endings.shape)
    discount = 0.9
    found = targets(rewards, values, following, endings, discount, 1.0, ratios, clip)
    rho, c = np.minimum(ratios, clip), np.minimum(ratios, 1.0)
    bootstrap = np.where(endings == TERMINATED, 0.0, following)
    surprise = rho * (rewards + discount * bootstrap - values)
    v = np.zeros(endings.shape)
    for first, case in np.ndindex(endings.shape):
        v[first, case], weight = values[first, case], 1.0
        for step in range(first, 4):
            v[first, case] += weight * surprise[step, case]
            weight *= discount * c[step, case]
            if endings[step, case] != GOES_ON:
                break
    np.testing.assert_allclose(found.values, v, atol=1e-5)
    later = np.where(endings == GOES_ON, np.vstack([v[1:], following[-1:]]), bootstrap)
    action_values = rewards + discount * later
    np.testing.assert_allclose(found.action_values, action_values, atol=1e-5)
    np.testing.assert_allclose(found.advantages, rho * (action_values - values), atol=1e-5)


def test_truncation_bootstraps_and_termination_does_not():
    case = [column(1.0), column(0.5), column(10.0)]
    assert targets(*case, column(TRUNCATED), 0.9, 0.95).values[0, 0] == pytest.approx(10.0)
    assert targets(*case, column(TERMINATED), 0.9, 0.95).values[0, 0] == pytest.approx(1.0)
    assert targets(*case, column(GOES_ON), 0.9, 0.95).values[0, 0] == pytest.approx(10.0)


@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_sessions_cut_by_the_clock_are_worth_what_endless_ones_are(trace):
    """A reward r for ever, cut at any turn: V = r / (1 - gamma) is its own target."""
    endings = np.array(list(itertools.product((GOES_ON, TRUNCATED), repeat=4))).T
    rewards, worth = np.full(endings.shape, 0.3), np.full(endings.shape, 0.3 / (1 - 0.9))
    found = targets(rewards, worth, worth, endings, 0.9, trace)
    np.testing.assert_allclose(found.values, worth, rtol=1e-5)
    np.testing.assert_allclose(found.advantages, 0.0, atol=1e-5)


@pytest.mark.parametrize("checked", ["by annotations", "by chex"])
@pytest.mark.parametrize("which", range(6))
def test_arrays_of_another_shape_are_refused(which, checked):
    """A [B, T] or [T] array would be broadcast into a wrong result without a word. Users have no checker of annotations."""
    function = inspect.unwrap(advantage_targets) if checked == "by chex" else advantage_targets
    assert checked == "by chex" or function is not inspect.unwrap(function)
    for wrong in ((2, 3), (3,)):
        shapes = [wrong if place == which else (3, 2) for place in range(6)]
        *rest, ratios = (
            jnp.zeros(shape, bool if place in (3, 4) else jnp.float32) for place, shape in enumerate(shapes)
        )
        message = r"shape|rank" if checked == "by chex" else "Type-check error"
        with pytest.raises(Exception, match=message):
            function(*rest, 0.9, 0.9, ratios, 1.0)
