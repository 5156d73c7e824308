"""A run that goes on is measured by sessions that have all ended: a fixed policy is worth the same at any time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.methods.base import Scene
from ialp_jax.serving.ledger import Endings, StreamClock, empty_ledger, record
from ialp_jax.serving.stream import Stream
from ialp_jax.study.measure import stream_metrics
from ialp_jax.sweeps.plan import _refuse_short
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

CLOCK = StreamClock(turns=600, bins=60, turn_cap=10)
LEAVE = 0.2  # chance of a turn
USERS = 400


def sessions_of_a_fixed_policy(seed=0):
    """Which turns end a session [T, B], its length, and what it has earned: 1 a turn, so that both are the same."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(LEAVE, (CLOCK.turns, USERS)), CLOCK.turn_cap)
    ends = lengths.cumsum(axis=0) - 1
    done, length = np.zeros((CLOCK.turns, USERS), bool), np.zeros((CLOCK.turns, USERS), np.int32)
    session, user = np.nonzero(ends < CLOCK.turns)
    done[ends[session, user], user] = True
    length[ends[session, user], user] = lengths[session, user]
    return done, length


SOUND = np.ones(1, bool)  # one run, which has not diverged


@jax.jit
def ledger_after(turns, done, length):
    seen = done & (jnp.arange(CLOCK.turns)[:, None] < turns)
    endings = Endings(seen, length.astype(jnp.float32), length)
    return jax.tree.map(
        lambda sums: sums[None], record(empty_ledger(CLOCK.bins), endings, jnp.int32(0), CLOCK)
    )


def test_a_fixed_policy_is_worth_the_same_whenever_it_is_measured():
    done, length = sessions_of_a_fixed_policy()
    chances = LEAVE * (1 - LEAVE) ** np.arange(CLOCK.turn_cap)
    chances[-1] = (1 - LEAVE) ** (CLOCK.turn_cap - 1)
    counts = 1 + np.arange(CLOCK.turn_cap)
    truth = float(chances @ counts)
    deviation = float(np.sqrt(chances @ (counts - truth) ** 2))
    for turns in (30, 50, 200, CLOCK.turns):
        ledger = ledger_after(turns, done, length)
        bins = CLOCK.whole_bins(turns)
        counted = float(ledger.sessions[0, :bins].sum())
        assert bins and counted > 1000
        found = stream_metrics(ledger, SOUND, bins)
        for name, share in (
            ("initial_reward", 0.05),
            ("final_reward", 0.1),
            ("length", 0.1),
            ("mean_reward", 1),
        ):
            assert abs(found[name][0] - truth) < 4 * deviation / np.sqrt(share * counted), (turns, name)
        if turns < CLOCK.turns:  # what a horizon does to the sessions before it
            cut = stream_metrics(ledger, SOUND)["final_reward"][0]
            assert cut < truth - 5 * deviation / np.sqrt(0.1 * counted)


@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 12), st.data())
def test_whole_bins_are_those_whose_longest_sessions_have_ended(turns, bins, cap, data):
    clock, reached = StreamClock(turns, bins, cap), data.draw(st.integers(0, turns - 1))
    starts = np.arange(turns)
    ended = [
        bool((starts[starts * bins // turns < first] + cap <= reached).all()) for first in range(bins + 1)
    ]
    assert clock.whole_bins(reached) == max(first for first in range(bins + 1) if ended[first])
    assert clock.whole_bins(turns) == bins


def test_a_run_that_would_stop_within_its_first_bin_is_refused():
    coarse = Scene(Simulator(SimulatorConfig(turn_cap=5)), None, Stream(rollout=4, updates=12, bins=2))
    with pytest.raises(
        InputError, match=r"column online\.bins: after 4 updates, 16 turns, .* it has 24 turns"
    ):
        _refuse_short(4, coarse)
    _refuse_short(8, coarse)
    _refuse_short(12, coarse)
    with pytest.raises(InputError, match="none need end"):
        _refuse_short(1, coarse)
