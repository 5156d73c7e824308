"""What is watched of a run: bins, ranges that were left, and the record that a report reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from ialp_jax import health
from ialp_jax.health import INVARIANTS, Invariant, binned, left_range, stage_health, watch, watched

FLOOR = Invariant("some", "some title", "nats", low=0.5, below="too low", high=2.0, above="too high")


@pytest.fixture
def only_floor(monkeypatch):
    monkeypatch.setattr(health, "INVARIANTS", {})
    watch(FLOOR)


def test_bins_are_means_over_stretches_of_a_run():
    values = np.array([[1.0, 3.0, np.nan, 5.0, np.nan, np.nan]])
    np.testing.assert_array_equal(binned(values, 3), [[2.0, 5.0, np.nan]])
    np.testing.assert_array_equal(binned(values[:, :2], 3), [[1.0, 3.0]])
    uneven = np.arange(50.0)[None]
    assert binned(uneven).shape == (1, health.BINS)
    assert binned(uneven)[0, 0] == 0.5 and binned(uneven)[0, -1] == 48.0


def test_a_metric_within_its_range_is_not_told_of():
    assert left_range(FLOOR, np.array([[0.5, 2.0, np.nan], [1.0, 1.0, 1.0]]), 30) is None


def test_the_seed_that_left_first_is_quoted():
    bins = np.array(
        [[1.0, 1.0, 1.0, 0.1], [1.0, 0.23456, 0.1, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 3.0, 0.2]]
    )
    left = left_range(FLOOR, bins, 400)
    assert (left.seeds, left.update, left.value, left.bound, left.words) == (
        (0, 1, 3),
        200,
        0.2346,
        0.5,
        "too low",
    )


def test_either_end_may_be_left_and_the_earlier_is_told():
    left = left_range(FLOOR, np.array([[1.0, 3.0, 0.1]]), 30)
    assert (left.update, left.value, left.bound, left.words) == (20, 3.0, 2.0, "too high")


def test_what_need_last_is_told_only_once_it_has_lasted():
    lasting = Invariant("some", "some title", high=0.9, above="stuck", lasting=3)
    short, long = np.array([[1.0, 1.0, 0.5, 1.0, 1.0]]), np.array([[0.5, 1.0, 1.0, 1.0, 0.5]])
    assert left_range(lasting, short, 50) is None
    assert left_range(lasting, long, 50).update == 20
    assert left_range(lasting, np.array([[1.0, 1.0]]), 2).update == 1  # a run of fewer bins than must last


def test_a_record_holds_all_that_a_reader_needs(only_floor):
    metrics = {"some": np.array([[1.0, 0.123456], [1.0, np.nan]]), "unwatched": np.zeros((2, 2))}
    record = stage_health("a stage", 100, metrics)
    assert record == json.loads(json.dumps(record, allow_nan=False)) == {
        "stage": "a stage", "updates": 100,
        "watched": {"some": {"title": "some title", "unit": "nats", "low": 0.5, "high": 2.0, "bins": [[1.0, 0.1235], [1.0, None]]}},
        "left": [{"title": "some title", "metric": "some", "seeds": [0], "update": 100, "value": 0.1235, "bound": 0.5,
                  "words": "too low"}],
    }  # fmt: skip
    unbounded = health._described(Invariant("some", "some title"), np.zeros((1, 1)))
    assert unbounded["low"] is None and unbounded["high"] is None


def test_a_metric_is_watched_once(only_floor):
    with pytest.raises(ValueError, match="'some' is watched already"):
        watch(FLOOR)


def test_every_bound_of_ours_has_words_and_no_words_are_without_a_bound():
    for invariant in INVARIANTS.values():
        assert (invariant.low > -np.inf) == bool(invariant.below), invariant
        assert (invariant.high < np.inf) == bool(invariant.above), invariant
        assert invariant.title and 1 <= invariant.lasting < health.BINS
        assert (
            invariant.metric == watched(invariant.metric.removeprefix(health.PREFIX))
            or "." not in invariant.metric
        )


def test_the_page_on_health_lists_every_invariant_and_its_bounds():
    page = (Path(__file__).parents[1] / "docs" / "health.md").read_text(encoding="utf-8")
    table = page.split("|---|---|---|\n")[1].split("\n\n")[0]
    rows = [line.replace("\\|", "|").strip("| ").split(" | ") for line in table.splitlines()]
    listed = {row[0]: row[1] for row in rows}
    assert list(listed) == [invariant.title for invariant in INVARIANTS.values()]
    for invariant in INVARIANTS.values():
        unit = f" {invariant.unit}" if invariant.unit else ""
        bounds = {f"at least {invariant.low:g}{unit}", f"at most {invariant.high:g}{unit}", "shown only"}
        assert listed[invariant.title] in bounds, invariant
        assert (listed[invariant.title] == "shown only") == (
            invariant.low == -np.inf and invariant.high == np.inf
        )
