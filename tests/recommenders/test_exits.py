"""The distance beyond which users stay: hand-made sessions, a slow twin, and the largest share of exits that is allowed."""

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ialp_jax.learning.logged import LoggedSessions, turns_of
from ialp_jax.recommenders.exits import (
    exit_ratio,
    exit_threshold,
    exits_go_with_likeness,
    nearest_recent,
)
from ialp_jax.study.calibrated import kept_apart_within
from ialp_jax.study.factors import LikenessConfig
from ialp_jax.worlds.logs_world import LogsWorldConfig
from ialp_jax.worlds.types import Observation

POINTS = np.array([[0.0], [1.0], [3.0], [7.0], [15.0]])


def sessions(actions, terminated):
    """Logged sessions of these recommendations."""
    longest = max(map(len, actions))
    padded = np.array([row + [len(POINTS)] * (longest - len(row)) for row in actions], np.int32)
    length = np.array([len(row) for row in actions], np.int32)
    nothing = jnp.zeros(padded.shape)
    window = Observation(jnp.zeros((*padded.shape, 1), jnp.int32), jnp.zeros((*padded.shape, 1)))
    return LoggedSessions(
        window, jnp.asarray(padded), nothing, nothing, nothing > 0, nothing, jnp.asarray(length),
        jnp.asarray(terminated), jnp.asarray(turns_of(length)),
    )  # fmt: skip


def test_distances_are_to_the_nearest_of_the_last_recommended():
    logged = sessions([[0, 3, 1, 4], [2], [4, 3]], [True, True, False])
    for window, expected in ((1, [7, 6, 14, 8]), (2, [7, 1, 8, 8]), (9, [7, 1, 8, 8])):
        distance, left = nearest_recent(logged, POINTS, window)
        np.testing.assert_allclose(distance, expected)
        assert left.tolist() == [False, False, True, False]


def test_the_threshold_of_made_turns():
    distance, left = np.array([3.0, 1.0, 2.0, 5.0, 4.0]), np.array([True, True, False, False, False])
    assert exit_threshold(distance, left, 0.0) == 4.0
    assert exit_threshold(distance, left, 0.49) == 4.0  # at 2 and 3 together one of two
    assert exit_threshold(distance, left, 0.5) == 2.0
    assert exit_threshold(distance, left, 1.0) == 1.0
    assert exit_threshold(np.zeros(0), np.zeros(0, bool), 0.1) == 0.0


def test_many_far_turns_do_not_hide_the_exits_just_beyond():
    """A mean over all turns from a distance on would call 1 far enough at 1 %; one in ten leaves there."""
    distance = np.repeat([0.0, 1.0, 2.0], [10, 10, 1000])
    left = np.zeros(1020, bool)
    left[[0, 1, 2, 10]] = True
    assert exit_threshold(distance, left, 0.01) == 2.0


def test_imagined_users_leave_nearer_than_a_recommender_dares_to_go():
    """Users leave below .3; their distances being estimates, one in twenty turns ends so up to .6 too."""
    distance = np.linspace(0.0, 1.0, 2001)
    left = (distance < 0.3) | ((distance < 0.6) & (np.arange(2001) % 20 == 0))
    assert exit_threshold(distance, left, LogsWorldConfig().exit_rate) == pytest.approx(0.3, abs=1e-3)
    assert exit_threshold(distance, left, LikenessConfig().exit_rate) == pytest.approx(0.6, abs=0.011)


def test_where_even_the_farthest_leave_everything_is_too_near():
    threshold = exit_threshold(np.array([1.0, 2.0]), np.array([False, True]), 0.1)
    assert 2.0 < threshold < 2.0 + 1e-12


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30), st.floats(0.0, 1.0))
def test_it_is_the_smallest_distance_whose_chance_is_small(turns, rate):
    """The chance at a distance is the least, over nearer ends, of the greatest mean of a stretch up to farther ones."""
    distance, left = np.array([float(at) for at, _ in turns]), np.array([gone for _, gone in turns])
    values = sorted(set(distance))
    mean = {(a, b): left[(distance >= a) & (distance <= b)].mean() for a in values for b in values if a <= b}
    chance = {at: min(max(mean[a, b] for b in values if b >= at) for a in values if a <= at) for at in values}
    allowed = [at for at in values if chance[at] <= rate + 1e-12]
    threshold = exit_threshold(distance, left, rate)
    assert threshold == allowed[0] if allowed else threshold > distance.max()


@pytest.mark.parametrize("radius", [1.5, 5.0])
def test_a_rule_of_the_same_distances_is_found(radius):
    """Users who leave exactly where items are nearer than a radius: it lies between what ended and what did not."""
    generator = np.random.default_rng(0)
    actions, gone = [], []
    for _ in range(200):
        walk = generator.integers(0, len(POINTS), 6).tolist()
        near = [abs(POINTS[a] - POINTS[b]).item() < radius for a, b in pairwise(walk)]
        end = near.index(True) + 2 if any(near) else len(walk)
        actions.append(walk[:end])
        gone.append(any(near))
    distance, left = nearest_recent(sessions(actions, gone), POINTS, 1)
    assert exit_threshold(distance, left, 0.0) == distance[distance >= radius].min()


def noisy_sessions(points, far_exits):
    """Two recommendations each; the user leaves after half of the near pairs, and after every so manieth of the far ones."""
    generator = np.random.default_rng(0)
    actions = generator.integers(0, len(points), (2000, 2))
    distance = np.abs(points[actions[:, 0], 0] - points[actions[:, 1], 0])
    turn = np.arange(len(actions))
    gone = np.where(distance < 0.3, turn % 2 == 0, turn % far_exits == 0)
    return sessions(actions.tolist(), gone.tolist())


@pytest.mark.parametrize(
    ("far_exits", "at_most", "kept"), [(12, 60.0, True), (12, None, False), (3, 60.0, False)]
)
def test_noisy_distances_keep_a_part_apart_only_where_exits_go_with_likeness(far_exits, at_most, kept):
    """Even the farthest leave too often to name a distance: what is near still ends sessions, or it does not."""
    points = np.linspace(0.0, 1.0, 40)[:, None]
    threshold, noisy = kept_apart_within(noisy_sessions(points, far_exits), points, 1, 0.0005, at_most)
    apart = np.abs(points - points.T)[~np.eye(40, dtype=bool)]
    assert noisy == kept
    assert np.mean(apart < threshold) == (pytest.approx(0.6, abs=0.05) if kept else 0.0)


def test_exits_go_with_likeness_where_near_turns_end_three_times_as_often():
    distance, left = np.repeat([0.0, 1.0], 12), np.zeros(24, bool)
    assert not exits_go_with_likeness(distance, left, 0.5)
    left[[0, 1, 2, 12]] = True
    assert exits_go_with_likeness(distance, left, 0.5)
    left[13] = True
    assert not exits_go_with_likeness(distance, left, 0.5)
    assert not exits_go_with_likeness(distance, left, 0.0) and not exits_go_with_likeness(distance, left, 2.0)


def turns(near_left, near, far_left, far):
    """Distances of 0 and 1, and which turns ended a session."""
    left = np.concatenate([np.arange(near) < near_left, np.arange(far) < far_left])
    return np.repeat([0.0, 1.0], [near, far]), left


@pytest.mark.parametrize(
    ("counts", "least", "most"),
    [
        ((0, 0, 19, 175), 0.0, np.inf),  # nothing is near
        ((19, 175, 0, 0), 0.0, np.inf),
        ((99, 199, 49, 199), 2.0, 2.0),  # shares of 99.5 / 199.5 and 49.5 / 199.5
        ((0, 10, 0, 10), 1.0, 1.0),  # no exit at all
    ],
)
def test_the_interval_of_a_ratio_of_exits(counts, least, most):
    low, high = exit_ratio(*turns(*counts), 0.5)
    near_left, near, far_left, far = (count + 0.5 for count in counts)
    if near > 0.5 and far > 0.5:  # the delta method: variances of two logarithms of shares
        middle = (near_left / near) / (far_left / far)
        spread = 1.96 * np.sqrt(1 / near_left - 1 / near + 1 / far_left - 1 / far)
        assert middle == pytest.approx(least, rel=0.02)
        least, most = middle / np.exp(spread), middle * np.exp(spread)
    assert (low, high) == pytest.approx((least, most))


def test_more_turns_of_one_ratio_say_more():
    """The logarithm's interval shrinks with the root of the turns."""
    widths = []
    for times in (100, 400):
        low, high = exit_ratio(*turns(6 * times, 60 * times, 1 * times, 20 * times), 0.5)
        assert low < 2.0 < high
        widths.append(np.log(high / low))
    assert widths[0] / widths[1] == pytest.approx(2.0, rel=0.02)
