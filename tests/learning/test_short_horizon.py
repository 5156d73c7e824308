"""Advantages over a few turns: written-down numbers, and on M4 every path of a session with its probability."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular import BEHAVIOUR, DISCOUNT, PRIOR, REWARDS, TRANSITIONS

from ialp_jax.learning.short_horizon import short_horizon_gain

USES = ("errors", "all_but_last", "all")
END = 3  # M4's absorbing state: the user has left
# Nobody comes back: every session is over after three turns.
CERTAIN = np.eye(4)[np.array([[1, 2, 3], [3, 2, 3], [3, 3, 3], [3, 3, 3]])]


@pytest.mark.parametrize(
    "horizon, with_last, without",
    [(0, 0.0, 0.0), (1, 0.992, 1.190), (2, 1.658, 1.172), (3, 2.353952, 2.49392), (9, 2.353952, 2.49392)],
)
def test_golden_numbers(horizon, with_last, without):
    """Four logged states, of which the last is where the session was cut; ratios clipped to [.5, 2]."""
    turns = min(horizon, 3)
    rewards, values = np.array([1.0, 0.0, 2.0, 0.5]), np.array([0.8, 1.1, 1.5, 0.4])
    ratios = np.clip([1.2, 0.8, 1.5, 0.6], 0.5, 2.0)
    padded = horizon - turns  # turns of another session, which are not read
    column = lambda array, filler: jnp.asarray([*array, *[filler] * padded], jnp.float32)[:, None]  # noqa: E731
    done = (jnp.arange(horizon) >= 2)[:, None]
    arrays = column(rewards[:turns], 9.0), column(values[1 : turns + 1], 9.0)
    for use, expected in (("all", with_last), ("all_but_last", without)):
        gain = short_horizon_gain(
            arrays[0], jnp.array([0.8]), arrays[1], done & False, done, column(ratios[1 : turns + 1], 9.0), 0.9,
            use,
        )  # fmt: skip
        assert float(gain[0]) == pytest.approx(expected, abs=5e-7)


def value_of(policy, transitions=TRANSITIONS):
    chain = np.einsum("sa,sat->st", policy, transitions)
    chain[END] = 0.0
    return np.linalg.solve(np.eye(4) - DISCOUNT * chain, (policy * REWARDS).sum(axis=1))


def paths(state, action, turns, transitions):
    """(probability, [(reward, next state, next action), ...]) of all sessions that the behaviour begins so."""
    for after in np.flatnonzero(transitions[state, action]):
        chance = transitions[state, action, after]
        for choice in range(3):
            now = (REWARDS[state, action], after, choice)
            weight = chance * BEHAVIOUR[after, choice]
            if turns == 1 or after == END:
                yield weight, [now] + [(0.0, END, 0)] * (turns - 1)
            else:
                for more, rest in paths(after, choice, turns - 1, transitions):
                    yield weight * more, [now, *rest]


def mean_gains(policy, values, turns, use, transitions=TRANSITIONS):
    """E[A_t | s_t, a_t] under the behaviour, ratios unclipped, of states 0 to 2."""
    found = np.zeros((3, 3))
    for state, action in itertools.product(range(3), range(3)):
        weights, sessions = zip(*paths(state, action, turns, transitions), strict=True)
        rewards, after, choice = (np.moveaxis(np.array(sessions), 2, 0)[part].T for part in range(3))
        after, choice = after.astype(int), choice.astype(int)
        left = jnp.asarray(after == END)
        ratios = np.where(after == END, 1.0, policy[after, choice] / BEHAVIOUR[after, choice])
        gain = short_horizon_gain(
            jnp.asarray(rewards, jnp.float32), jnp.full(len(weights), values[state], jnp.float32),
            jnp.asarray(values[after], jnp.float32), left, left, jnp.asarray(ratios, jnp.float32), DISCOUNT, use,
        )  # fmt: skip
        found[state, action] = np.array(weights) @ np.asarray(gain) / np.sum(weights)
    return found


def exact(policy, values, turns, transitions=TRANSITIONS):
    """The same by dynamic programming: E over pi of all but the first action."""
    bonus = np.where(np.arange(4) == END, 0.0, values)
    later = np.tile(bonus[:, None], 3)
    for _ in range(turns):
        expected = np.where(np.arange(4) == END, 0.0, (policy * later).sum(axis=1))
        later = REWARDS + DISCOUNT * transitions @ expected
    return later[:3] - values[:3, None]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_all_conventions_have_the_mean_that_dynamic_programming_gives(turns, use):
    values = value_of(BEHAVIOUR)
    found = mean_gains(PRIOR, values, turns, use)
    np.testing.assert_allclose(found, exact(PRIOR, values, turns), atol=2e-6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_of_the_policy_that_acted_its_mean_is_zero(turns):
    found = mean_gains(BEHAVIOUR, value_of(BEHAVIOUR), turns, "all")
    np.testing.assert_allclose((BEHAVIOUR[:3] * found).sum(axis=1), 0.0, atol=1e-6)


def test_a_large_value_makes_noise_unless_ratios_multiply_errors_alone():
    """Everything pays alike: the advantage is 0 whatever the ratios were."""
    ratios, one = jnp.array([[0.5, 2.0], [2.0, 0.5]]), jnp.ones((2, 2))
    worth, never = jnp.full(2, 10.0), one < 0
    gains = {
        use: short_horizon_gain(one, worth, jnp.stack([worth] * 2), never, never, ratios, 0.9, use)
        for use in USES
    }
    np.testing.assert_allclose(gains["errors"], 0.0, atol=1e-5)
    assert np.abs(gains["all"]).min() > 0.4 and np.abs(gains["all_but_last"]).min() > 4.0


def test_over_a_whole_session_it_is_the_policys_own_q_less_v():
    values = value_of(BEHAVIOUR, CERTAIN)
    later = value_of(PRIOR, CERTAIN)
    own = (REWARDS + DISCOUNT * CERTAIN @ np.where(np.arange(4) == END, 0.0, later))[:3]
    found = mean_gains(PRIOR, values, 3, "all_but_last", CERTAIN)
    np.testing.assert_allclose(found, own - values[:3, None], atol=1e-6)


def test_of_a_value_that_knows_nothing_the_error_shrinks_as_the_horizon_grows():
    own = REWARDS[:3] + DISCOUNT * (TRANSITIONS @ value_of(PRIOR))[:3]
    errors = [
        np.abs(mean_gains(PRIOR, np.zeros(4), turns, "all_but_last") - own).max() for turns in (1, 2, 3, 4)
    ]
    assert all(later < 0.9 * now for now, later in itertools.pairwise(errors)), errors


def test_where_the_user_left_nothing_follows_and_where_the_session_was_cut_the_value_does():
    one = jnp.ones((1, 1))
    for left, expected in ((True, 1.0 - 0.5), (False, 1.0 + 0.9 * 10.0 - 0.5)):
        gain = short_horizon_gain(
            one, jnp.array([0.5]), 10.0 * one, jnp.array([[left]]), one > 0, one, 0.9, "all"
        )
        assert float(gain[0]) == pytest.approx(expected)


def test_arrays_of_different_shape_are_refused():
    function = inspect.unwrap(short_horizon_gain)
    two, bits = jnp.ones((2, 3)), jnp.zeros((2, 3), bool)
    with pytest.raises(AssertionError):
        jax.eval_shape(lambda: function(two, jnp.ones(3), two, bits, bits, jnp.ones((1, 3)), 0.9, "all"))
