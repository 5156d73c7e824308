"""The content judge: what it knows, what it must not know, and that its scores are probabilities."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.held_out_fit import FOLDS, log_popularity
from ialp_jax.preferences.judges import available_judges, build_judge, judge_module
from ialp_jax.preferences.judges.base import JudgeRequest
from ialp_jax.preferences.judges.content import Config
from ialp_jax.preferences.quality.ranking import state_auc
from ialp_jax.preferences.states import interaction_matrix, interactions_of, user_states


def _judge_everything(dataset, judge):
    states, every = user_states(dataset), tuple(range(dataset.num_items))
    requests = [
        JudgeRequest(
            state, int(states.users[state]), "", tuple(items.tolist()), tuple(grades.tolist()), every, ()
        )
        for state, (items, grades) in enumerate(zip(states.items, states.grades, strict=True))
    ]
    return np.stack([judgement.scores for judgement in judge.judge(requests)])


@pytest.mark.parametrize("prior", [True, False])
def test_it_ranks_by_genre_and_its_scores_are_calibrated(make_dataset, prior):
    dataset = make_dataset(num_users=150)
    scores = _judge_everything(dataset, build_judge("content", dataset, Config(popularity_prior=prior)))
    users = user_states(dataset).users
    history = interaction_matrix(dataset, users, "history")
    auc = state_auc(scores, interaction_matrix(dataset, users, "held_out"), ~history)
    assert np.nanmean(auc) > 0.75
    state, item, grade = interactions_of(dataset, users, "held_out")
    liked = np.zeros(scores.shape)
    liked[state, item] = grade
    # With 10 negatives per positive every pair is used, so that the rate is 1: the means agree up to the fit.
    assert scores[~history].mean() == pytest.approx(liked[~history].mean(), rel=0.02)


def test_the_sampling_rate_is_corrected(make_dataset):
    dataset = make_dataset(num_users=300)
    every = _judge_everything(dataset, build_judge("content", dataset, Config(negatives=10)))
    judge = build_judge("content", dataset, Config(negatives=1))
    assert judge.info.settings["sampling_rate"] < 0.2
    assert _judge_everything(dataset, judge).mean() == pytest.approx(every.mean(), rel=0.1)


def test_online_users_change_nothing(make_dataset):
    first, second = make_dataset(online_seed=0), make_dataset(online_seed=1)
    assert not first.interactions.equals(second.interactions)
    judges = [build_judge("content", dataset) for dataset in (first, second)]
    assert judges[0].info == judges[1].info
    np.testing.assert_array_equal(_judge_everything(first, judges[0]), _judge_everything(second, judges[1]))


def test_a_users_own_held_out_items_do_not_reach_their_popularity(make_dataset):
    dataset, changed = make_dataset(), make_dataset()
    log = dataset.interactions
    own = log.select((pl.col("user") == 0) & (pl.col("part") == "held_out")).to_series().to_numpy()
    items = log["item"].to_numpy().copy()
    items[own] = np.setdiff1d(np.arange(30), items[:8])[: own.sum()]
    object.__setattr__(changed, "interactions", log.with_columns(item=pl.Series(items)))
    before, after = (log_popularity(data, user_states(data)) for data in (dataset, changed))
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_popularity_known_answer(make_dataset):
    dataset = make_dataset()
    states = user_states(dataset)
    met = interaction_matrix(dataset, states.users)
    others = np.arange(16) % FOLDS != 2
    expected = np.log((met[others].sum(axis=0) + 0.5) / (others.sum() + 1))
    np.testing.assert_allclose(log_popularity(dataset, states)[2], expected)


def test_without_text_only_the_prior_speaks(make_dataset):
    dataset = make_dataset(with_text=False)
    object.__setattr__(dataset, "items", dataset.items.with_columns(title=pl.lit("?")))
    flat = _judge_everything(dataset, build_judge("content", dataset, Config(popularity_prior=False)))
    assert np.ptp(flat) < 1e-6
    prior = _judge_everything(dataset, build_judge("content", dataset))
    assert np.ptp(prior[0]) > 1e-3


def test_batches_do_not_matter_and_raw_answers_are_kept(make_dataset):
    dataset = make_dataset()
    judge = build_judge("content", dataset)
    requests = [
        JudgeRequest(0, 0, "", (1, 4), (0.9, 0.2), (0, 7), ("", "")),
        JudgeRequest(1, 1, "", (), (), (3,), ("",)),
    ]
    together, alone = judge.judge(requests), [judge.judge([request])[0] for request in requests]
    for both, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(both.scores, one.scores)
        assert both.scores.dtype == np.float32 and both.raw == one.raw
    assert together[1].raw == ["cosine 0.0000"] and judge.judge([]) == []


def test_it_says_that_it_is_no_llm(make_dataset):
    dataset = make_dataset()
    info = build_judge("content", dataset).info
    assert (
        not info.is_llm and "not come from an LLM" in info.statement and "popularity prior" in info.statement
    )
    plain = build_judge("content", dataset, Config(popularity_prior=False)).info
    assert "popularity" not in plain.statement


def test_nothing_to_calibrate_with(make_dataset):
    dataset = make_dataset()
    history_only = dataset.interactions.with_columns(part=pl.lit("history"))
    object.__setattr__(dataset, "interactions", history_only)
    with pytest.raises(InputError, match="held-out"):
        build_judge("content", dataset)


def test_judges_are_found_by_file_name():
    assert "content" in available_judges() and "base" not in available_judges()
    with pytest.raises(InputError, match="choose one of content"):
        judge_module("oracle")


def test_a_judge_whose_package_is_missing_says_so(tmp_path, monkeypatch):
    from ialp_jax.preferences import judges

    (tmp_path / "heavy.py").write_text("import a_package_nobody_has\n")
    monkeypatch.setattr(judges, "__path__", [*judges.__path__, str(tmp_path)])
    assert "heavy" in judges.available_judges()
    with pytest.raises(InputError, match="a_package_nobody_has"):
        judges.judge_module("heavy")


def test_the_room_does_not_import_jax():
    modules = "completion.completion, job.job, quality.ranking, judges.content"
    code = "".join(f"import ialp_jax.preferences.{name}\n" for name in modules.split(", "))
    code += "import sys\nassert 'jax' not in sys.modules, 'jax was imported'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
