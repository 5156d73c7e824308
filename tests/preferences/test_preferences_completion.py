"""The table, its control, its completion and the rewards made of it."""

from dataclasses import replace

import jax
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.completion.completion import CompletedPreferences, LabelRule, complete, labels
from ialp_jax.preferences.completion.reward_model import RewardModelConfig, fit_reward_model
from ialp_jax.preferences.judges import JudgeInfo
from ialp_jax.preferences.quality.ranking import state_auc
from ialp_jax.preferences.states import UserStates
from ialp_jax.preferences.table import SCHEMA, PreferenceTable, describe, write_table

INFO = JudgeInfo("test", False, "none", "1", "", {"a": 1}, "Not an LLM.")
QUICK = RewardModelConfig(rank=2, steps=150, batch=32)


def _table(scores, judged) -> PreferenceTable:
    state, item = np.nonzero(judged)
    users = np.arange(len(scores), dtype=np.int32) + 100
    score = np.asarray(scores, np.float32)[state, item]
    return PreferenceTable(users, state.astype(np.int32), item.astype(np.int32), score, INFO,
                           judged.shape[1], ("Not an LLM.",))  # fmt: skip


def _world(num_states=600, num_items=40, seed=0):
    """Users who like the items whose vectors are near their history's, and a table of half of the pairs."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(num_items, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = rng.integers(0, num_items, (num_states, 3)).astype(np.int32)
    logits = 4 * vectors[items].sum(axis=1) @ vectors.T + rng.normal(size=num_items)
    truth = 1 / (1 + np.exp(-logits))
    states = UserStates(np.arange(num_states, dtype=np.int32), items, np.ones(items.shape, np.float32))
    return _table(truth, rng.random(truth.shape) < 0.5), states, vectors, truth


def test_a_check_that_nothing_can_be_measured_by_is_null_and_said():
    judged = np.ones((4, 5), bool)  # of equal judgements, so that none is preferred to another
    states = UserStates(np.arange(4, dtype=np.int32), np.zeros((4, 1), np.int32), np.ones((4, 1), np.float32))
    vectors = np.eye(5, dtype=np.float32)
    completed = complete(
        _table(np.full((4, 5), 0.5), judged), states=states, item_vectors=vectors, config=QUICK
    )
    assert completed.report["auc_model"] is None and completed.option == "zero"
    assert "was not measurable" in completed.statements[-1] and "nan" not in completed.statements[-1]


def test_dense_known_answer_and_round_trip(tmp_path):
    judged = np.array([[True, False, True], [False, True, False]])
    table = _table([[0.5, 9, 0.25], [9, 1.0, 9]], judged)
    scores, found = table.dense()
    np.testing.assert_array_equal(scores, [[0.5, 0, 0.25], [0, 1, 0]])
    np.testing.assert_array_equal(found, judged)
    columns = {"state": table.state, "item": table.item, "score": table.score}
    pairs = pl.concat([pl.DataFrame(schema=SCHEMA), pl.DataFrame(columns)], how="diagonal_relaxed")
    write_table(tmp_path / "table", pairs, describe(table.users, INFO, 3, "logs", table.statements))
    loaded = PreferenceTable.load(tmp_path / "table")
    for name in ("users", "state", "item", "score"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(table, name))
        assert getattr(loaded, name).dtype == getattr(table, name).dtype
    assert (loaded.info, loaded.num_items, loaded.statements) == (INFO, 3, ("Not an LLM.",))
    assert loaded.dataset == "logs" and loaded.rejected == 0 and loaded.costs["calls"] == 0


def test_rejected_pairs_are_counted_and_count_as_unjudged(tmp_path):
    columns = {"state": [0, 0, 1], "item": [0, 2, 1], "score": [0.5, None, 0.25], "calls": [1, 0, 1]}
    pairs = pl.concat([pl.DataFrame(schema=SCHEMA), pl.DataFrame(columns)], how="diagonal_relaxed")
    write_table(tmp_path / "table", pairs, describe(np.arange(2, dtype=np.int32), INFO, 3, "logs", ()))
    loaded = PreferenceTable.load(tmp_path / "table")
    assert (loaded.num_judgements, loaded.rejected, loaded.costs["calls"]) == (2, 1, 2)
    np.testing.assert_array_equal(loaded.dense()[1], [[True, False, False], [False, True, False]])


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.integers(0, 10**6))
def test_shuffling_gives_every_state_anothers_judgements(num_states, seed):
    rng = np.random.default_rng(seed)
    scores = (np.arange(num_states)[:, None] + rng.random((num_states, 5))) / num_states
    table = _table(scores, rng.random(scores.shape) < 0.9)
    shuffled = table.shuffled(seed)
    before, after = table.dense()[0], shuffled.dense()[0]
    # Rows are told apart by their range: row s holds values in [s, s + 1) / num_states.
    donors = [next((s for s in range(num_states) if np.array_equal(row, before[s])), None) for row in after]
    assert sorted(donors) == list(range(num_states)) or not before.any(axis=1).all()
    assert all(donor != state for state, donor in enumerate(donors) if before[state].any())
    assert np.all(np.diff(shuffled.state.astype(int) * 5 + shuffled.item) > 0)
    assert "another user" in shuffled.statements[-1] and shuffled.statements[:-1] == table.statements
    np.testing.assert_array_equal(shuffled.users, table.users)


def test_one_state_cannot_be_shuffled():
    with pytest.raises(InputError, match="one state"):
        _table([[0.5]], np.array([[True]])).shuffled(0)


def test_reward_model_predicts_pairs_it_never_saw():
    table, states, vectors, truth = _world()
    filled, report = fit_reward_model(table, states.items, states.grades, vectors, QUICK, jax.random.key(0))
    judged = table.dense()[1]
    np.testing.assert_array_equal(filled[judged], table.score)
    assert np.nanmean(state_auc(filled, truth > 0.5, ~judged)) > 0.95
    assert report.auc_model > 0.9 > report.auc_item_mean and report.auc_zero == 0.5
    assert report.log_loss_model < report.log_loss_item_mean < report.log_loss_zero
    assert report.held_out + report.fitted == table.num_judgements
    assert report.held_out == pytest.approx(0.1 * table.num_judgements, rel=0.1)


def test_reward_model_is_seeded():
    table, states, vectors, _ = _world()
    runs = [fit_reward_model(table, states.items, states.grades, vectors, QUICK, jax.random.key(seed))
            for seed in (1, 1, 2)]  # fmt: skip
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1] and not np.array_equal(runs[0][0], runs[2][0])


def test_reward_model_finds_nothing_in_noise():
    # Over seeds the AUC has mean 0.50 and deviation 0.011 at 600 states (0.09 at 60: too few to tell).
    table, states, vectors, _ = _world(seed=1)
    noise = replace(table, score=np.random.default_rng(0).random(table.num_judgements).astype(np.float32))
    _, report = fit_reward_model(noise, states.items, states.grades, vectors, QUICK, jax.random.key(0))
    assert 0.45 < report.auc_model < 0.55


def test_reward_model_needs_two_judgements_and_fitting_arrays():
    judged = np.eye(3, dtype=bool)
    table = _table(np.ones((3, 3)), judged)
    states = UserStates(np.arange(3), np.zeros((3, 1), int), np.ones((3, 1)))
    with pytest.raises(InputError, match="held out"):
        fit_reward_model(table, states.items, states.grades, np.ones((3, 2)), QUICK, jax.random.key(0))
    with pytest.raises(InputError, match="4 item vectors"):
        fit_reward_model(table, states.items, states.grades, np.ones((4, 2)), QUICK, jax.random.key(0))


def test_auto_takes_the_model_where_it_ranks_better_and_says_so():
    table, states, vectors, _ = _world()
    completed = complete(table, "auto", states=states, item_vectors=vectors, config=QUICK)
    assert completed.option == "model" and completed.report["auc_model"] > 0.9
    assert "option C" in completed.statements[-1] and completed.statements[0] == "Not an LLM."
    strict = complete(table, "auto", states=states, item_vectors=vectors, config=QUICK, margin=0.6)
    assert strict.option == "zero" and "option B" in strict.statements[-1] and "AUC" in strict.statements[-1]
    np.testing.assert_array_equal(strict.scores, table.dense()[0])


def test_auto_takes_no_model_that_ranks_as_the_items_means_do():
    table, states, vectors, _ = _world()
    means = np.random.default_rng(0).random(table.num_items).astype(np.float32)
    alike = replace(table, score=means[table.item])
    completed = complete(alike, "auto", states=states, item_vectors=vectors, config=QUICK)
    assert completed.report["auc_model"] > 0.9 and completed.report["auc_item_mean"] > 0.99
    assert completed.option == "zero"


@pytest.mark.parametrize("option", ["candidates", "zero"])
def test_options_without_a_model(option):
    table, states, vectors, _ = _world()
    completed = complete(table, option, states=states, item_vectors=vectors)
    assert completed.option == option and "auc_model" not in completed.report
    np.testing.assert_array_equal(completed.scores, table.dense()[0])
    np.testing.assert_array_equal(completed.judged, table.dense()[1])


def _completed(scores, judged, option, history=None) -> CompletedPreferences:
    history = np.zeros_like(judged) if history is None else np.asarray(history)
    return CompletedPreferences(np.asarray(scores, np.float32), np.asarray(judged), history, option, {}, ())


def test_labels_known_answers():
    scores, judged = [[0.9, 0.1, 0.8, 0.0, 0.3]], [[True, True, False, False, True]]
    model = _completed(scores, judged, "model")
    np.testing.assert_array_equal(labels(model, LabelRule(fraction=0.4)), [[1, 0, 1, 0, 0]])
    np.testing.assert_array_equal(labels(model, LabelRule(fraction=0.01)), [[1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(labels(model, LabelRule(threshold=0.3)), [[1, 0, 1, 0, 1]])
    np.testing.assert_array_equal(labels(model, LabelRule(reward="probability")), np.float32(scores))
    candidates = _completed(scores, judged, "candidates")
    # Two thirds of the three judged items; the unjudged ones never.
    np.testing.assert_array_equal(labels(candidates, LabelRule(fraction=0.67)), [[1, 0, 0, 0, 1]])


def test_the_own_history_is_never_preferred():
    table, states, vectors, _ = _world()
    completed = complete(table, "zero", states=states, item_vectors=vectors)
    for row, items in zip(completed.history, states.items, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(row), np.unique(items[items < table.num_items]))
    scores, history = [[0.9, 0.8, 0.7, 0.1, 0.0]], [[True, False, False, False, False]]
    known = _completed(scores, np.ones((1, 5), bool), "model", history)
    np.testing.assert_array_equal(labels(known, LabelRule(fraction=0.5)), [[0, 1, 1, 0, 0]])
    np.testing.assert_array_equal(labels(known, LabelRule(threshold=0.75)), [[0, 1, 0, 0, 0]])
    counted = LabelRule(fraction=0.5, count_history=True)
    np.testing.assert_array_equal(labels(known, counted), [[1, 1, 0, 0, 0]])


def test_an_unjudged_item_is_never_preferred_without_a_model():
    nothing = _completed(np.zeros((2, 4)), np.zeros((2, 4), bool), "zero")
    assert not labels(nothing, LabelRule(fraction=1.0)).any()


def test_ties_are_broken_by_the_seed_alone():
    tied = _completed(np.full((200, 10), 0.5), np.ones((200, 10), bool), "zero")
    first, again = labels(tied, LabelRule(seed=1)), labels(tied, LabelRule(seed=1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, labels(tied, LabelRule(seed=2)))
    assert np.abs(first.mean(axis=0) - 0.1).max() < 0.08


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.05, 1.0), st.sampled_from(["candidates", "zero", "model"]))
def test_selected_labels_are_the_best_of_each_state(seed, fraction, option):
    rng = np.random.default_rng(seed)
    completed = _completed(rng.integers(0, 4, (3, 12)) / 3, rng.random((3, 12)) < 0.6, option)
    found = labels(completed, LabelRule(fraction=fraction))
    for row in range(3):
        pool = np.ones(12, bool) if option == "model" else completed.judged[row]
        chosen = found[row] == 1
        assert chosen.sum() == min(pool.sum(), max(1, round(fraction * pool.sum())))
        assert not (chosen & ~pool).any()
        if chosen.any() and (pool & ~chosen).any():
            assert completed.scores[row, chosen].min() >= completed.scores[row, pool & ~chosen].max()


@pytest.mark.parametrize("rule", [{"fraction": 0.0}, {"fraction": 1.5}, {"threshold": 0.0}])
def test_rules_are_checked(rule):
    with pytest.raises(InputError, match="is out of range"):
        LabelRule(**rule)
