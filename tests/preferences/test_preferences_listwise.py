"""List mode: what is dealt, and what comes back from planted answers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.judges.base import Usage
from ialp_jax.preferences.prompting import listwise


@given(st.integers(1, 60), st.integers(1, 26), st.integers(1, 5), st.integers(0, 10**6))
def test_every_permutation_holds_every_item_once_in_groups_of_almost_one_size(
    items, size, permutations, seed
):
    """And all items can be compared, or the request is refused."""
    if items > size and min(size, permutations) == 1:
        with pytest.raises(
            InputError, match=f"{items} candidates in groups of {size}, .*: no candidate ties"
        ):
            listwise.deal(items, size, permutations, (seed, 3))
        return
    groups = listwise.deal(items, size, permutations, (seed, 3))
    each = -(-items // size)
    assert len(groups) == permutations * each
    for start in range(0, len(groups), each):
        assert sorted(np.concatenate(groups[start : start + each])) == list(range(items))
    lengths = {len(group) for group in groups}
    assert max(lengths) <= size and max(lengths) - min(lengths) <= 1
    assert _tied(groups, items)


def test_one_order_of_two_groups_has_no_answer():
    """Whatever is liked, each group's letters sum to one: two groups look alike, and the scores would say so."""
    planted, groups = np.array([3.0, 3.0, 0.0, 0.0]), [np.array([0, 1]), np.array([2, 3])]
    np.testing.assert_allclose(
        listwise.utilities(groups, [log_softmax(planted[group]) for group in groups], 4), 0.0, atol=1e-12
    )
    with pytest.raises(
        InputError, match=r"column permutations.*Fix: use 2 orders or more, or a list_size of 4"
    ):
        listwise.deal(4, 2, 1, (0,))
    with pytest.raises(InputError, match=r"column list_size.*Fix: use 2 or more"):
        listwise.deal(4, 1, 3, (0,))


def test_orders_differ_between_permutations_and_states_and_repeat_with_the_seed():
    first, again, other = (listwise.deal(12, 12, 2, key) for key in ((0, 1), (0, 1), (0, 2)))
    assert all(np.array_equal(left, right) for left, right in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], other[0])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(5, 40), st.integers(3, 12))
def test_planted_utilities_come_back_through_softmax_and_favoured_letters(seed, items, size):
    rng = np.random.default_rng(seed)
    planted, favour = rng.normal(size=items), rng.normal(size=size)
    groups = listwise.deal(items, size, 4, (seed,))
    answers = [log_softmax(planted[group] + favour[: len(group)]) for group in groups]
    # The letters alone: the same favour, less a constant of the group's size, which c takes up.
    corrected = [found - log_softmax(favour[: len(found)]) for found in answers]
    found = listwise.utilities(groups, corrected, items)
    np.testing.assert_allclose(found, planted - planted.mean(), atol=1e-8)
    assert abs(found.mean()) < 1e-12


def _tied(groups, items):
    """Whether the groups overlap so that every item can be compared with every other."""
    reached, size = {0}, 0
    while len(reached) > size:
        size = len(reached)
        reached |= {item for group in groups if reached & set(group.tolist()) for item in group.tolist()}
    return len(reached) == items


def test_uncorrected_letters_would_bias_the_scores():
    """The correction is needed: without it, one permutation ranks by letter."""
    groups, favour = [np.array([0, 1, 2])], np.array([2.0, 0.0, -2.0])
    answers = [log_softmax(np.zeros(3) + favour)]
    biased = listwise.utilities(groups, answers, 3)
    fair = listwise.utilities(groups, [answers[0] - log_softmax(favour)], 3)
    assert biased[0] - biased[2] == pytest.approx(4) and np.allclose(fair, 0)


def test_the_score_is_the_chance_against_an_average_item():
    np.testing.assert_allclose(listwise.chosen_over_average(np.zeros(7)), 0.5)
    found = listwise.chosen_over_average(np.log([1.0, 3.0]))
    np.testing.assert_allclose(found, [1 / 3, 3 / 5])


def test_a_judgement_keeps_probabilities_answers_and_costs():
    groups = [np.array([1, 0]), np.array([2]), np.array([2, 0]), np.array([1])]
    log_p = [np.log([0.4, 0.1]), np.log([0.5]), np.log([0.2, 0.2]), np.log([0.6])]
    alone = {2: np.log([0.25, 0.25]), 1: np.log([0.5])}
    whole = Usage(np.ones(6, np.int32), np.full(6, 10, np.int32), np.full(6, 4, np.int32))
    found = listwise.judgement(3, groups, log_p, alone, "AB", listwise.at_first_item(whole, 3))
    np.testing.assert_allclose(np.exp(found.log_yes), [0.15, 0.5, 0.35], rtol=1e-6)
    np.testing.assert_allclose(np.exp(found.log_no), [0.3, 0.05, 0.1], rtol=1e-6)
    # Item 1 beat item 0 by log 4, item 2 and item 0 were equal.
    assert found.scores[1] > found.scores[0] == pytest.approx(found.scores[2])
    assert json.loads(found.raw[1])[0] == {
        "letter": "A",
        "place": 0,
        "of": 2,
        "log_p": pytest.approx(np.log(0.4), abs=1e-4),
    }
    assert found.usage.calls.tolist() == [6, 0, 0] and found.usage.computed_tokens.tolist() == [24, 0, 0]
