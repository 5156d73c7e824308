"""Which settings are run: in range, of the right type, all different, the same every time; who survives a rung."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.sweeps.search import advice, axis_points, from_unit, initial_settings, rungs, survivors
from ialp_jax.sweeps.space import Axis, Search, Space

RATE = Axis("rate", low=1e-4, high=1e-2, log=True, points=5)
USERS = Axis("users", low=32, high=256, log=True, points=4, integer=True)
KIND = Axis("kind", ("gru", "sasrec"))


def space(kind, count, *axes, **options):
    return Space("a2c", "mean_reward", 2, Search(kind, count, **options), {}, axes)


@st.composite
def axes(draw):
    if draw(st.booleans()):
        return Axis("a", tuple(draw(st.lists(st.integers(), min_size=2, max_size=5, unique=True))))
    log = draw(st.booleans())
    if draw(st.booleans()):
        low = draw(st.integers(1 if log else -1000, 1000))
        return Axis("a", low=low, high=low + draw(st.integers(1, 1000)), log=log, integer=True)
    low = draw(st.floats(1e-12 if log else -1e6, 1e6))
    high = draw(st.floats(low, 1e7, exclude_min=True))
    return Axis("a", low=low, high=high, log=log)


@given(axes(), st.floats(0, 1, exclude_max=True))
@example(
    Axis("a", low=1000, high=1001, integer=True), math.nextafter(1, 0)
)  # rounds up to 1002 before it is cut
@example(Axis("a", low=0.1, high=0.7), math.nextafter(1, 0))
def test_a_drawn_value_is_in_range_and_of_the_right_type(axis, position):
    value = from_unit(axis, position)
    if axis.values:
        assert value in axis.values
    else:
        assert axis.low <= value <= axis.high
        assert type(value) is (int if axis.integer else float)


@given(axes(), st.integers(2, 30))
def test_a_grid_runs_from_end_to_end(axis, points):
    found = axis_points(replace(axis, points=points))
    if axis.values:
        assert found == list(axis.values)
        return
    assert (found[0], found[-1]) == (axis.low, axis.high)
    assert found == sorted(found) and len(found) <= points
    assert {type(value) for value in found} == {int if axis.integer else float}


def test_every_whole_number_has_its_part_of_a_range():
    axis = Axis("a", low=1, high=4, integer=True)
    assert [from_unit(axis, at) for at in (0.0, 0.24, 0.26, 0.51, 0.99)] == [1, 1, 2, 3, 4]
    by_ratio = replace(axis, log=True)
    edge = math.log(2) / math.log(5)
    assert [from_unit(by_ratio, at) for at in (0.0, edge - 1e-6, edge + 1e-6, 0.999)] == [1, 1, 2, 4]


def test_a_grid_is_every_combination_and_the_last_axis_is_fastest():
    found = initial_settings(space("grid", None, KIND, replace(USERS, points=4)))
    assert [tuple(setting.values()) for setting in found] == [
        (kind, users) for kind in ("gru", "sasrec") for users in (32, 64, 128, 256)
    ]
    rates = [setting["rate"] for setting in initial_settings(space("grid", None, RATE))]
    assert rates == pytest.approx([1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2])


@pytest.mark.parametrize("kind", ["random", "sobol"])
@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 70), seed=st.integers(0, 2**31))
def test_draws_are_different_and_the_same_every_time(kind, count, seed):
    wanted = space(kind, count, RATE, USERS, KIND, seed=seed)
    found = initial_settings(wanted)
    assert len(found) == len({repr(setting) for setting in found}) == count
    assert found == initial_settings(wanted)
    assert found == initial_settings(
        replace(wanted, search=replace(wanted.search, kind="halving", start=kind))
    )
    if count > 4:
        other = replace(wanted, search=replace(wanted.search, seed=seed + 1))
        assert found != initial_settings(other)


def test_sobol_covers_an_axis_more_evenly_than_chance():
    def cells(kind):
        values = [math.log(setting["rate"]) for setting in initial_settings(space(kind, 64, RATE, USERS))]
        return np.histogram(values, 64, (math.log(1e-4), math.log(1e-2)))[0]

    assert cells("sobol").tolist() == [1] * 64
    assert cells("random").max() > 1


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_small_spaces_are_drawn_without_repeats_or_refused(kind):
    small = Axis("n", low=1, high=8, integer=True), KIND
    found = initial_settings(space(kind, 16, *small))
    assert len({tuple(setting.values()) for setting in found}) == 16
    with pytest.raises(InputError, match="found only 16 different settings of 17"):
        initial_settings(space(kind, 17, *small))


def test_an_adaptive_search_has_no_settings_beforehand():
    with pytest.raises(ValueError, match="first batch"):
        initial_settings(space("adaptive", 8, RATE))


def test_sobol_is_advised_powers_of_two():
    assert advice(space("sobol", 64, RATE)) == advice(space("random", 48, RATE)) == []
    assert "(32 or 64)" in advice(space("sobol", 48, RATE))[0]
    assert "(16 or 32)" in advice(space("halving", 27, RATE, start="sobol"))[0]


def test_rungs_are_cut_by_eta_and_end_with_the_whole_budget():
    halving = space("halving", 32, RATE, eta=2, first_share=0.125)
    assert rungs(halving, 400, 10) == [(32, 50), (16, 100), (8, 200), (4, 400)]
    assert rungs(space("halving", 27, RATE), 400, 10) == [(27, 50), (9, 140), (3, 400)]
    assert rungs(space("halving", 9, RATE), 90, 10) == [(9, 10), (3, 30), (1, 90)]
    with pytest.raises(InputError, match="2 chunks of 10 updates cannot be cut into 3 rungs"):
        rungs(space("halving", 27, RATE), 20, 10)


@given(st.integers(2, 5), st.floats(0.01, 0.5), st.integers(1, 500), st.integers(1, 20))
def test_rungs_grow_in_whole_chunks_while_settings_fall(eta, share, chunks, chunk):
    halving = space("halving", 10_000, RATE, eta=eta, first_share=min(share, 1 / eta))
    try:
        found = rungs(halving, chunks * chunk, chunk)
    except InputError:
        assert chunks < 1 / min(share, 1 / eta) * 1.001
        return
    counts, totals = zip(*found, strict=True)
    assert totals[-1] == chunks * chunk and totals[0] >= halving.search.first_share * totals[-1] - 1e-6
    assert all(total % chunk == 0 for total in totals)
    assert all(right == left // eta for left, right in pairwise(counts))
    assert all(left < right for left, right in pairwise(totals))


def test_the_best_survive_and_of_equals_the_first():
    assert survivors([1.0, 3.0, 2.0, 3.0], 2) == [1, 3]
    assert survivors([2.0, 2.0, 2.0, 5.0], 2) == [0, 3]
    assert survivors([math.nan, -math.inf, math.nan, -9.0], 3) == [0, 1, 3]
    assert survivors([math.nan, 0.0], 1) == [1]


@given(st.lists(st.floats(), min_size=1, max_size=20), st.data())
def test_no_survivor_is_worse_than_one_left_behind(scores, data):
    count = data.draw(st.integers(0, len(scores)))
    kept = survivors(scores, count)
    assert kept == sorted(set(kept)) and len(kept) == count
    lost = [score for index, score in enumerate(scores) if index not in kept]
    worst = min((scores[index] for index in kept if not math.isnan(scores[index])), default=math.inf)
    assert all(math.isnan(score) or score <= worst for score in lost) or count == 0
