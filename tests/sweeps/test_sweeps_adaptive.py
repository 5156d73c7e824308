"""Adaptive search: the same trials however often it is killed, one journal, and what its numbers say of the axes."""

import json
import math
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.sweeps.adaptive import JOURNAL_NAME, AdaptiveSearch, importance
from ialp_jax.sweeps.search import initial_settings
from ialp_jax.sweeps.space import Axis, Search, Space

RATE = Axis("rate", low=1e-4, high=1e-2, log=True)
USERS = Axis("users", low=32, high=256, log=True, integer=True)
KIND = Axis("kind", ("gru", None, 1, True, (0.5, 1.0)))
SPACE = Space("a2c", "mean_reward", 2, Search("adaptive", 22, batch=4), {}, (RATE, USERS, KIND))


def objective(setting):
    """Best at rate 1e-3 and "gru"; NaN, as from a run that diverged, at the largest rates."""
    if setting["rate"] > 8e-3:
        return math.nan
    return -((math.log10(setting["rate"]) + 3.0) ** 2) + 0.5 * (setting["kind"] == "gru")


def run(folder, space=SPACE, calls_per_life=10**9):
    """All trials; a new object takes over after every `calls_per_life` calls, as after a kill."""
    search, calls, trials = AdaptiveSearch(space, folder), 0, {}

    def alive():
        nonlocal search, calls
        calls += 1
        if calls % calls_per_life == 0:
            search = AdaptiveSearch(space, folder)
        return search

    while not alive().done:
        for number, setting in alive().batch():
            trials[number] = setting
            alive().tell(number, objective(setting))
    return trials


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run(folder), (folder / JOURNAL_NAME).read_bytes()


def test_every_trial_is_in_range_and_of_the_right_type(whole):
    trials, _ = whole
    assert list(trials) == list(range(22))
    for setting in trials.values():
        assert list(setting) == ["rate", "users", "kind"]
        assert RATE.low <= setting["rate"] <= RATE.high and type(setting["rate"]) is float
        assert USERS.low <= setting["users"] <= USERS.high and type(setting["users"]) is int
        assert any(setting["kind"] is value or setting["kind"] == value for value in KIND.values)
    assert len({repr(setting) for setting in trials.values()}) == 22


def test_listed_values_come_back_as_they_are(tmp_path):
    trials = run(tmp_path, replace(SPACE, search=replace(SPACE.search, settings=60, batch=20)))
    assert {repr(setting["kind"]) for setting in trials.values()} == {repr(value) for value in KIND.values}


@pytest.mark.parametrize("calls", [1, 2, 3, 5, 7])
def test_trials_do_not_depend_on_kills(tmp_path, whole, calls):
    assert run(tmp_path, calls_per_life=calls) == whole[0]


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1))
def test_a_journal_cut_anywhere_goes_on_to_the_same_trials(tmp_path_factory, whole, share):
    trials, journal = whole
    folder = tmp_path_factory.mktemp("cut")
    (folder / JOURNAL_NAME).write_bytes(journal[: round(share * len(journal))])
    found = run(folder)
    assert found == {number: trials[number] for number in found}
    search = AdaptiveSearch(SPACE, folder)
    assert search.done and search.finished == 22
    assert all(json.loads(line) for line in (folder / JOURNAL_NAME).read_text().splitlines())


def test_a_kill_while_a_line_is_written_leaves_no_lock(tmp_path, whole):
    code = f"""
import os, signal
from pathlib import Path
from ialp_jax.sweeps.adaptive import AdaptiveSearch
from ialp_jax.sweeps.space import Axis, Search, Space
search = AdaptiveSearch({SPACE!r}, Path({str(tmp_path)!r}))
written = []
os.fsync = lambda _: written.append(1) or (len(written) == 3 and os.kill(os.getpid(), signal.SIGKILL))
search.batch()
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len((tmp_path / JOURNAL_NAME).read_bytes().splitlines()) == 4  # the study and three of four trials
    begun = time.monotonic()
    assert run(tmp_path) == whole[0]
    assert time.monotonic() - begun < 15  # Optuna's own locks are waited for 30 s


def test_a_batch_stays_until_all_of_it_is_told(tmp_path):
    search = AdaptiveSearch(SPACE, tmp_path)
    first = search.batch()
    assert [number for number, _ in first] == [0, 1, 2, 3] and search.batch() == first
    search.tell(1, 0.5)
    assert search.batch() == AdaptiveSearch(SPACE, tmp_path).batch() == first and search.finished == 1
    for number in (0, 3, 2):
        search.tell(number, 0.1)
    assert [number for number, _ in search.batch()] == [4, 5, 6, 7] and not search.done


def test_the_last_batch_is_what_is_left(tmp_path):
    search = AdaptiveSearch(SPACE, tmp_path)
    sizes = []
    while not search.done:
        batch = search.batch()
        sizes.append(len(batch))
        for number, setting in batch:
            search.tell(number, objective(setting))
    assert sizes == [4, 4, 4, 4, 4, 2] and search.batch() == [] and search.finished == 22


def test_the_order_of_telling_within_a_batch_is_no_matter(tmp_path, whole):
    search, trials = AdaptiveSearch(SPACE, tmp_path), {}
    while not search.done:
        for number, setting in reversed(search.batch()):
            trials[number] = setting
            search.tell(number, objective(setting))
    assert trials == whole[0]


def test_telling_twice_is_allowed_and_contradicting_is_not(tmp_path):
    search = AdaptiveSearch(SPACE, tmp_path)
    search.batch()
    for number, value in enumerate((0.1 + 0.2, math.nan, -math.inf)):
        search.tell(number, value)
        search.tell(number, value)
        AdaptiveSearch(SPACE, tmp_path).tell(number, value)
        with pytest.raises(InputError, match=f"trial {number} had the value"):
            search.tell(number, 7.0)
    with pytest.raises(ValueError, match="never asked for"):
        search.tell(4, 0.0)
    with pytest.raises(ValueError, match="never asked for"):
        search.tell(-1, 0.0)


def test_seeds_decide_the_trials(tmp_path, whole):
    other = replace(SPACE, search=replace(SPACE.search, seed=1))
    assert run(tmp_path, other)[0] != whole[0][0]


def test_it_learns(tmp_path):
    axes = (replace(RATE, low=1e-6, high=1.0), Axis("other", low=0.0, high=1.0))
    space = replace(SPACE, axes=axes, search=replace(SPACE.search, settings=64, batch=8))
    trials, search = [], AdaptiveSearch(space, tmp_path)
    while not search.done:
        for number, setting in search.batch():
            trials.append(abs(math.log10(setting["rate"]) + 3.0))
            search.tell(number, -trials[-1])
    # A uniform draw is 1.5 decades off on average.
    assert sum(trials[-24:]) / 24 < 0.8 < sum(trials[:10]) / 10


def test_another_space_and_a_damaged_journal_are_refused(tmp_path, whole):
    run(tmp_path)
    with pytest.raises(InputError, match="another sweep"):
        AdaptiveSearch(replace(SPACE, axes=(RATE, USERS)), tmp_path)
    lines = whole[1].splitlines(keepends=True)
    (tmp_path / JOURNAL_NAME).write_bytes(b"".join([*lines[:3], b"{half a line\n", *lines[3:]]))
    with pytest.raises(InputError, match="damaged"):
        AdaptiveSearch(SPACE, tmp_path)


def test_nothing_of_optuna_reaches_the_user(tmp_path):
    code = f"""
from pathlib import Path
from ialp_jax.sweeps.adaptive import AdaptiveSearch, importance
from ialp_jax.sweeps.space import Axis, Search, Space
space = {SPACE!r}
search, settings, values = AdaptiveSearch(space, Path({str(tmp_path)!r})), [], []
while not search.done:
    for number, setting in search.batch():
        settings.append(setting)
        values.append(float(number))
        search.tell(number, values[-1] if number else float("nan"))
assert importance(space, settings, values)[0]
"""
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importance_finds_the_axis_that_matters():
    axes = (RATE, Axis("other", low=0.0, high=1.0), Axis("kind", ("a", "b", "c")))
    space = replace(SPACE, search=Search("sobol", 64), axes=axes)
    drawn = initial_settings(space)
    by_rate = [math.log10(setting["rate"]) for setting in drawn]
    shares, reason = importance(space, drawn, by_rate)
    assert reason == "" and set(shares) == {"rate", "other", "kind"}
    assert sum(shares.values()) == pytest.approx(1.0) and shares["rate"] > 0.95
    by_kind = [{"a": 0.0, "b": 1.0, "c": 0.5}[setting["kind"]] for setting in drawn]
    assert importance(space, drawn, by_kind)[0]["kind"] > 0.95
    assert importance(space, drawn, by_kind) == importance(space, drawn, by_kind)
    both = [math.log10(setting["rate"]) + 2 * setting["other"] for setting in drawn]
    # Both are drawn evenly over spreads of 2, so they explain as much.
    assert importance(space, drawn, both)[0]["rate"] == pytest.approx(0.5, abs=0.1)


def test_importance_of_a_grid():
    axes = (replace(RATE, points=4), replace(USERS, points=3), Axis("entropy", (0.01, 0.1)))
    space = replace(SPACE, search=Search("grid"), axes=axes)
    drawn = initial_settings(space)
    shares, reason = importance(space, drawn, [setting["entropy"] for setting in drawn])
    assert reason == "" and max(shares, key=lambda name: shares[name]) == "entropy"


def test_importance_says_why_it_cannot_be_told():
    drawn = initial_settings(replace(SPACE, search=Search("sobol", 16)))
    values = [math.nan] * 5 + [float(number) for number in range(11)]
    assert importance(SPACE, drawn, values) == (
        {}, "the importance of 3 axes needs 12 settings or more; there are 11")  # fmt: skip
    assert importance(SPACE, drawn, [1.0] * 16) == ({}, "all 16 settings reached the same mean_reward")
