import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_logs import raw_logs

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig, build
from ialp_jax.data.dataset import Dataset
from ialp_jax.data.grading import combine_repeats, explicit_grade, implicit_grade
from ialp_jax.data.kcore import k_core
from ialp_jax.data.split import order_within_user, part_of_user, split_users

PAIRS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40)
FAST = settings(max_examples=50, deadline=None)


def frame(pairs):
    return pl.DataFrame(sorted(pairs), schema=["user", "item"], orient="row")


def is_core(pairs, k):
    return all(
        sum(pair[side] == entity for pair in pairs) >= k
        for side in (0, 1)
        for entity in {p[side] for p in pairs}
    )


def test_k_core_removes_what_removal_leaves_short():
    # c loses item 3 (one user), then has one item left, then item 2 has one user left, ...
    pairs = [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("c", 2), ("c", 3)]
    assert k_core(frame(pairs), 2).rows() == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert k_core(frame(pairs), 3).height == 0
    assert k_core(frame(pairs), 1).height == 6


@FAST
@given(PAIRS, st.integers(1, 4))
def test_k_core_is_a_core_and_the_largest(pairs, k):
    kept = set(k_core(frame(pairs), k).rows())
    assert kept <= pairs
    assert is_core(kept, k)
    # Largest: peeling single entities in any order ends in the same set, which contains every core.
    left = set(pairs)
    while not is_core(left, k):
        side, entity = next(
            (side, e)
            for side in (1, 0)
            for e in {p[side] for p in left}
            if sum(p[side] == e for p in left) < k
        )
        left = {pair for pair in left if pair[side] != entity}
    assert kept == left


def test_implicit_grades_are_mid_ranks_within_the_item():
    logs = pl.DataFrame({"item": [0, 0, 0, 0, 1], "value": [1.0, 5.0, 5.0, 900.0, 0.1]})
    assert logs.select(grade=implicit_grade())["grade"].to_list() == [0.25, 0.625, 0.625, 1.0, 1.0]


@FAST
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1e6)), min_size=1, max_size=40))
def test_implicit_grades_lie_in_range_and_rise_with_the_value(rows):
    logs = pl.DataFrame(rows, schema=["item", "value"], orient="row").with_columns(grade=implicit_grade())
    assert logs["grade"].is_between(0, 1, closed="right").all()
    for _, own in logs.group_by("item"):
        ordered = own.sort("value")
        rise, grades = np.diff(ordered["value"]), np.diff(ordered["grade"])
        assert np.array_equal(rise > 0, grades > 0)
        assert (grades >= 0).all()


def test_explicit_grades_span_the_range():
    logs = pl.DataFrame({"value": [1.0, 2.0, 5.0]})
    assert logs.select(grade=explicit_grade(1, 5))["grade"].to_list() == [0.0, 0.25, 1.0]


def test_repeated_hours_are_summed_and_the_last_rating_stands():
    rows = [("a", "x", 2.0), ("a", "y", 1.0), ("a", "x", 5.0), ("a", "x", 3.0)]
    logs = raw_logs(rows).interactions
    assert combine_repeats(logs, explicit=False).rows() == [("a", "x", 10.0), ("a", "y", 1.0)]
    assert combine_repeats(logs, explicit=True).rows() == [("a", "x", 3.0), ("a", "y", 1.0)]
    timed = logs.with_columns(time=pl.Series([3, 0, 7, 1]))
    assert combine_repeats(timed, explicit=True).rows() == [("a", "x", 5.0, 7), ("a", "y", 1.0, 0)]


def test_untimed_order_is_a_shuffle_that_does_not_follow_the_file():
    logs = pl.DataFrame({"user": [0] * 50, "item": range(50)})
    orders = [order_within_user(logs, seed)["item"].to_list() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])
    assert order_within_user(logs.reverse(), 0)["item"].to_list() == orders[0]


@FAST
@given(PAIRS, st.integers(1, 12), st.integers(0, 3))
def test_history_is_at_most_half_and_comes_last(pairs, history_length, seed):
    ordered = order_within_user(frame(pairs), seed).with_columns(part=part_of_user(history_length))
    for _, own in ordered.group_by("user"):
        own = own.sort("position")
        assert own["position"].to_list() == list(range(own.height))
        size = min(history_length, own.height // 2)
        assert own["part"].to_list() == ["held_out"] * (own.height - size) + ["history"] * size


@FAST
@given(st.integers(2, 50), st.floats(0.01, 0.99), st.integers(0, 3))
def test_users_are_split_once_and_never_all(num_users, fraction, seed):
    split = split_users(num_users, fraction, seed)
    assert set(split) == {"offline", "online"}
    assert len(split) == num_users
    assert abs(split.count("offline") - num_users * fraction) <= 1
    assert split == split_users(num_users, fraction, seed)


@given(num_users=st.integers(4, 60), fraction=st.floats(0.3, 0.9), seed=st.integers(0, 5))
def test_validation_meets_half_of_the_offline_users_and_nobody_else(num_users, fraction, seed):
    plain, tried = (
        np.array(split_users(num_users, fraction, seed, validation)) for validation in (False, True)
    )
    offline = plain == "offline"
    np.testing.assert_array_equal(tried != "unused", offline)
    assert 0 <= (tried == "offline").sum() - (tried == "online").sum() <= 1


@given(
    num_users=st.integers(4, 60), logged=st.integers(1, 40), validation=st.booleans(), seed=st.integers(0, 5)
)
def test_logs_of_some_offline_users_are_read_and_fewer_are_a_part_of_more(
    num_users, logged, validation, seed
):
    whole, some, more = (
        np.array(split_users(num_users, 0.5, seed, validation, number))
        for number in (None, logged, logged + 1)
    )
    offline = whole == "offline"
    np.testing.assert_array_equal(np.isin(some, ["offline", "profiled"]), offline)
    np.testing.assert_array_equal(some[~offline], whole[~offline])
    assert (some == "offline").sum() == min(logged, offline.sum())
    assert np.all(more[some == "offline"] == "offline")


def test_the_split_depends_on_the_seed():
    assert split_users(40, 0.5, 0) != split_users(40, 0.5, 1)


def test_the_order_of_the_file_does_not_matter():
    rows = [
        (str(user), str(item), (user * item) % 7 + 1)
        for user in range(9)
        for item in range(9)
        if (user + item) % 3
    ]
    fingerprints = {
        build(raw_logs(order), DataConfig()).fingerprint for order in (rows, rows[::-1], rows[5:] + rows[:5])
    }
    assert len(fingerprints) == 1
    assert build(raw_logs(rows), DataConfig(seed=1)).fingerprint not in fingerprints


def test_an_empty_core_names_k_and_what_was_left():
    rows = [("a", "x", 1.0), ("a", "y", 1.0), ("b", "x", 1.0)]
    with pytest.raises(
        InputError, match=r"the 5-core leaves 0 users x 0 items x 0 interactions of 2 users.*smaller k_core"
    ):
        build(raw_logs(rows), DataConfig())


def test_statements_say_what_was_done():
    rows = [(user, item, 1.0) for user in "abc" for item in "xyz"] + [("a", "x", 2.0), ("d", "x", 1.0)]
    said = " ".join(build(raw_logs(rows), DataConfig(k_core=2)).statements)
    assert "their hours are summed: 1 of 11 rows" in said
    assert (
        "The 2-core keeps 3 users x 3 items x 9 interactions of 4 users x 3 items x 10 interactions" in said
    )
    assert "mid-rank / n" in said
    assert "shuffle by seed 0" in said


@pytest.mark.parametrize(
    "change",
    [
        {"k_core": 0},
        {"history_length": 0},
        {"offline_fraction": 1.0},
        {"offline_fraction": 0.0},
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        DataConfig(**change)


SEEN = [
    ("a", "x", 0),
    ("a", "y", 2),
    ("b", "x", 3),
    ("b", "y", 0),
    ("c", "x", 1),
    ("c", "y", 5),
    ("d", "x", 0),
]


def test_pairs_of_value_zero_are_ignored_and_said_so():
    dataset = build(raw_logs([*SEEN, ("b", "y", 4)]), DataConfig(k_core=1))
    positive = build(raw_logs([row for row in [*SEEN, ("b", "y", 4)] if row[2]]), DataConfig(k_core=1))
    assert dataset.interactions.equals(positive.interactions)  # b used y in another row
    assert dataset.cautions == (
        "2 of 7 user-item pairs have 0 hours: they are ignored; data.zeros disliked counts them as observed dislikes.",
    )
    assert not positive.cautions and dataset.disliked.height == 0


def test_pairs_of_value_zero_may_be_dislikes(tmp_path):
    dataset = build(raw_logs(SEEN), DataConfig(k_core=1, zeros="disliked"))
    assert dataset.disliked.rows() == [(0, 0), (1, 1)]  # user d used nothing
    assert dataset.interactions.equals(build(raw_logs(SEEN), DataConfig(k_core=1)).interactions)
    assert "3 of 7 user-item pairs have 0 hours: they count as observed dislikes" in dataset.cautions[0]
    dataset.save(tmp_path / "saved")
    loaded = Dataset.load(tmp_path / "saved")
    assert loaded.disliked.equals(dataset.disliked) and loaded.cautions == dataset.cautions
    assert loaded.fingerprint == dataset.fingerprint
    assert dataclasses.replace(dataset, disliked=dataset.disliked[:1]).fingerprint != dataset.fingerprint


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 1)], "column item.*among the user's interactions"),
        ([(0, 2)], r"column item.*outside 0\.\.1"),
        ([(0, 0), (0, 0)], "column item.*twice"),
    ],
)
def test_dislikes_that_break_a_rule_are_refused(pairs, message):
    dataset = build(raw_logs(SEEN), DataConfig(k_core=1))
    disliked = pl.DataFrame(pairs, schema=dataset.disliked.schema, orient="row")
    with pytest.raises(InputError, match=message):
        dataclasses.replace(dataset, disliked=disliked)


def test_ratings_of_zero_are_ratings():
    dataset = build(raw_logs(SEEN, feedback="explicit", rating_range=(0.0, 5.0)), DataConfig(k_core=1))
    assert dataset.num_interactions == 7 and not dataset.cautions


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([(user, item, 0) for user in "ab" for item in "xy"], {}, "the hours are 0 in every row"),
        ([(user, item, 5) for user in "ab" for item in "xy"],
         {"feedback": "explicit", "rating_range": (1.0, 5.0)}, "every rating is 5: nothing can be learnt"),
        (SEEN, {"feedback": "explicit", "rating_range": (-5.0, 0.0)}, "highest rating is 0.*above 0, for example 6"),
        (SEEN, {"feedback": "explicit", "rating_range": (1.0, float("nan"))}, r"rating_range: nan is not a finite number"),
        ([("a", "x", 1), ("a", "y", 0), ("b", "y", 0)], {}, "of 1 users x 1 items x 1 interactions, besides 2 of 0 hours"),
    ],
)  # fmt: skip
def test_logs_of_which_nothing_can_be_learnt_are_refused(rows, changes, message):
    with pytest.raises(InputError, match=message):
        build(raw_logs(rows, **changes), DataConfig(k_core=1))


def test_ratings_below_zero_are_graded_upwards():
    dataset = build(
        raw_logs([(u, i, v - 5) for u, i, v in SEEN], feedback="explicit", rating_range=(-5.0, 1.0)),
        DataConfig(k_core=1),
    )
    ordered = dataset.interactions.sort("value")
    assert ordered["grade"].is_sorted() and ordered["grade"].min() == 0
