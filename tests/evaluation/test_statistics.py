"""Known answers first, then properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

from ialp_jax.artifacts import InputError
from ialp_jax.evaluation.statistics import (
    bootstrap_interval,
    estimate,
    interquartile_mean,
    interval_coverage,
    mean_interval,
    mean_reward,
    paired_difference,
    phase_reward,
)

finite = st.floats(-1e6, 1e6)


def mean(values):
    return values.mean(axis=-1)


def test_interquartile_mean_known_answers():
    assert interquartile_mean(np.array([5.0, 1, 3, 2, 4])) == pytest.approx(3)
    assert interquartile_mean(np.array([0.0, 10, 20, 40, 1000])) == pytest.approx(
        0.3 * 10 + 0.4 * 20 + 0.3 * 40
    )
    assert interquartile_mean(np.array([7.0])) == pytest.approx(7)
    assert interquartile_mean(np.array([1.0, 2])) == pytest.approx(1.5)
    assert interquartile_mean(np.array([0.0, 1, 5])) == pytest.approx((0.25 * 0 + 1 + 0.25 * 5) / 1.5)
    with pytest.raises(ValueError, match="no values"):
        interquartile_mean(np.array([]))


@given(st.lists(finite, min_size=4, max_size=40).filter(lambda values: len(values) % 4 == 0))
def test_interquartile_mean_is_rliables_for_multiples_of_four(values):
    assert interquartile_mean(np.array(values)) == pytest.approx(trim_mean(values, 0.25), abs=1e-6)


@given(st.lists(finite, min_size=1, max_size=12), st.floats(0.1, 10), st.floats(-100, 100))
def test_interquartile_mean_lies_inside_and_follows_scale_and_shift(values, scale, shift):
    values = np.array(values)
    found = interquartile_mean(values)
    assert values.min() - 1e-6 <= found <= values.max() + 1e-6
    assert interquartile_mean(scale * values + shift) == pytest.approx(
        scale * found + shift, rel=1e-9, abs=1e-6
    )


def test_bootstrap_of_two_runs_has_a_known_interval():
    # a resample of {0, 1} has mean 0, 1/2 or 1 with probability 1/4, 1/2, 1/4
    assert bootstrap_interval(np.array([0.0, 1.0]), mean) == (0.0, 1.0)
    assert bootstrap_interval(np.array([0.0, 1.0]), mean, confidence=0.4) == (0.5, 0.5)


def test_bootstrap_agrees_with_the_normal_theory_for_many_runs():
    values = np.random.default_rng(3).standard_normal(400)
    low, high = bootstrap_interval(values, mean)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_strata_are_resampled_apart():
    # no spread within a stratum, so none in the interval, however far apart the strata are
    values = np.array([[0.0, 0, 0], [100, 100, 100]])
    assert bootstrap_interval(values, mean) == (50.0, 50.0)
    low, high = bootstrap_interval(values.ravel(), mean)
    assert low < 50 < high


def test_bootstrap_refuses_what_has_no_interval():
    assert np.isnan(bootstrap_interval(np.array([3.0]))).all()
    assert not estimate(np.array([3.0])).excludes_zero
    for values in (np.array([1.0, np.nan]), np.array([]), np.array([1.0, np.inf])):
        with pytest.raises(ValueError, match="finite"):
            bootstrap_interval(values)


@settings(max_examples=25)
@given(st.lists(finite, min_size=2, max_size=8), st.integers(0, 5))
def test_intervals_hold_the_estimate_and_repeat_with_the_seed(values, seed):
    found = estimate(np.array(values), resamples=500, seed=seed)
    slack = 1e-6 * (1 + np.abs(values).max())
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack
    assert found == estimate(np.array(values), resamples=500, seed=seed)


def test_paired_difference_removes_what_the_seed_does_to_both():
    seeds = np.array([0.0, 100, 200, 300, 400])
    found = paired_difference(seeds + np.array([1.0, 2, 3, 4, 5]), seeds)
    assert found.mean == pytest.approx(3)
    assert 1 <= found.low <= found.high <= 5
    assert found.excludes_zero
    assert paired_difference(seeds, seeds + 1).high == pytest.approx(-1)
    assert not paired_difference(np.array([1.0, -1, 2, -2, 0]), np.zeros(5)).excludes_zero
    with pytest.raises(ValueError, match="equal shapes"):
        paired_difference(seeds, seeds[:4])


def test_five_seeds_cover_less_than_they_claim_and_more_seeds_come_closer():
    assert 0.87 < interval_coverage(5) < 0.93
    assert 0.79 < interval_coverage(5, mean) < 0.87
    assert interval_coverage(2) < 0.6
    assert 0.91 < interval_coverage(20) < 0.97


def test_phases_known_answers():
    sessions = np.array([[10.0, 20, 70], [0, 50, 50]])
    rewards = np.array([[10.0, 40, 210], [0, 50, 150]])
    np.testing.assert_allclose(phase_reward(sessions, rewards, first=0.1), [1, 1])
    np.testing.assert_allclose(phase_reward(sessions, rewards, first=0.2), [(10 + 20) / 20, 1])
    np.testing.assert_allclose(phase_reward(sessions, rewards, last=0.8), [(210 + 20) / 80, (150 + 30) / 80])
    np.testing.assert_allclose(phase_reward(sessions, rewards, first=0.05), [1, 1])
    np.testing.assert_allclose(mean_reward(sessions, rewards), [2.6, 2.0])


@given(st.lists(st.tuples(st.integers(0, 30), finite), min_size=1, max_size=12), st.floats(0.01, 0.99))
def test_both_ends_make_up_the_whole(pairs, share):
    sessions = np.array([[count for count, _ in pairs]], dtype=float)
    if sessions.sum() == 0:
        return
    rewards = sessions * np.array([[reward for _, reward in pairs]])
    whole = share * phase_reward(sessions, rewards, first=share) + (1 - share) * phase_reward(
        sessions, rewards, last=1 - share
    )
    assert whole == pytest.approx(mean_reward(sessions, rewards), rel=1e-6, abs=1e-3)


def test_phases_refuse_what_has_no_answer():
    ones = np.ones((2, 3))
    for arguments in ({}, {"first": 0.1, "last": 0.1}, {"first": 0.0}, {"last": 1.5}):
        with pytest.raises(ValueError, match="exactly one"):
            phase_reward(ones, ones, **arguments)
    with pytest.raises(ValueError, match="one shape"):
        phase_reward(ones, ones[:, :2], first=0.1)
    with pytest.raises(InputError, match="run 1 has no finished session"):
        phase_reward(np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]]), first=0.1)


def test_student_interval_of_three_values():
    found = mean_interval(np.array([1.0, 2.0, 3.0]))
    half = 4.302652729696142 / np.sqrt(3)  # the 97.5 % quantile with two degrees of freedom
    np.testing.assert_allclose([found.mean, found.low, found.high], [2.0, 2.0 - half, 2.0 + half])
    assert not found.excludes_zero and np.isnan(mean_interval(np.array([1.0])).low)
    with pytest.raises(ValueError, match="finite values"):
        mean_interval(np.array([]))
