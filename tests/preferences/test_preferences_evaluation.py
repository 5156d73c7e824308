"""What a table's evaluation measures: known answers, other libraries', and what may not change it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.calibration import calibration_curve
from sklearn.metrics import ndcg_score

from ialp_jax.artifacts import InputError, plain
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import finish_job, judge_shard, open_job, run_job
from ialp_jax.preferences.job.judged_pairs import asked_pairs, content_scores, judged_pairs
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.judges import JudgeInfo, build_judge
from ialp_jax.preferences.quality import per_state
from ialp_jax.preferences.quality.agreement import agreement
from ialp_jax.preferences.quality.beside import auc_beside, comparisons, losses
from ialp_jax.preferences.quality.calibration import calibration, equal_mass
from ialp_jax.preferences.quality.evaluation import evaluate_table
from ialp_jax.preferences.quality.figure import write_figure
from ialp_jax.preferences.quality.ranking import state_auc
from ialp_jax.preferences.states import interaction_matrix, user_states
from ialp_jax.preferences.table import SCHEMA, describe, write_table

INFO = JudgeInfo("test", False, "none", "1", "", {}, "Not an LLM.")


def _pairs(scores, grades=None, **columns) -> pl.DataFrame:
    """Rows of scores as a frame of pairs; NaN means not judged."""
    scores = np.asarray(scores, float)
    state, item = np.nonzero(~np.isnan(scores))
    grades = np.zeros(scores.shape) if grades is None else np.asarray(grades, float)
    more = {name: np.asarray(values)[state, item] for name, values in columns.items()}
    return pl.DataFrame({"state": state, "item": item, "score": scores[state, item], "grade": grades[state, item],
                         "relevant": grades[state, item] > 0, **more})  # fmt: skip


def _write(directory, dataset, score, *, histories=False, **columns):
    """A table of every offline user and every item (outside the history); `score(user, item, held_out)`."""
    states = user_states(dataset)
    history, held_out = (interaction_matrix(dataset, states.users, part) for part in ("history", "held_out"))
    state, item = np.nonzero(~history | histories)
    scores = [
        score(states.users[s], i, held_out[s, i]) for s, i in zip(state.tolist(), item.tolist(), strict=True)
    ]
    frame = pl.DataFrame({"state": state, "item": item, "score": scores} | columns, schema_overrides=SCHEMA)
    pairs = pl.concat([pl.DataFrame(schema=SCHEMA), frame], how="diagonal_relaxed")
    write_table(directory, pairs, describe(states.users, INFO, dataset.num_items, dataset.fingerprint, ()))
    return directory


def test_auc_of_states_of_different_sizes_is_that_of_the_matrix():
    nan = np.nan
    scores = [[0.9, nan, 0.1, 0.5], [0.2, 0.2, nan, nan], [nan, 0.3, 0.4, nan]]
    grades = [[0.0, 1.0, 0.3, 0.4], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    np.testing.assert_array_equal(per_state.auc(_pairs(scores, grades), "score"), [0.0, 0.5, nan])
    expected = state_auc(np.array(scores), np.array(grades) > 0, np.ones((3, 4), bool))
    np.testing.assert_array_equal(per_state.auc(_pairs(scores, grades), "score"), expected)


def test_ndcg_known_answer():
    # Ranked 2nd and 3rd: (0.5 / log2 3 + 1 / 2) / (1 + 0.5 / log2 3).
    found = per_state.ndcg(_pairs([[0.9, 0.8, 0.7]], [[0, 0.5, 1]]), "score")
    np.testing.assert_allclose(found, [(0.5 / np.log2(3) + 0.5) / (1 + 0.5 / np.log2(3))])
    # Beyond k nothing counts, and a state without a grade has no NDCG.
    assert per_state.ndcg(_pairs([[0.9, 0.8, 0.7]], [[0, 0.5, 1]]), "score", k=1) == [0]
    assert np.isnan(per_state.ndcg(_pairs([[0.9, 0.8]], [[0, 0]]), "score")).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_ndcg_agrees_with_scikit_learn_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (3, 14)) / 4
    grades = rng.integers(0, 4, scores.shape) / 4 * (rng.random(scores.shape) < 0.6)
    grades[:, 0] = 0.5
    found = per_state.ndcg(_pairs(scores, grades), "score", k=5)
    np.testing.assert_allclose(
        found, [ndcg_score([g], [s], k=5) for g, s in zip(grades, scores, strict=True)]
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_correlations_agree_with_scipy_and_with_residuals(seed):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, 6, (3, 1, 15)).astype(float)
    columns[:, 0, :2] = [0, 1]
    pairs = _pairs(columns[0], other=columns[1], fixed=columns[2])
    found = per_state.spearman(pairs, "score", "other")
    assert found == pytest.approx(spearmanr(columns[0, 0], columns[1, 0]).statistic)
    # The partial correlation is the correlation of what a straight line through the third's ranks leaves.
    one, other, fixed = rankdata(columns[:, 0], axis=1)
    left = [ranks - np.polyval(np.polyfit(fixed, ranks, 1), fixed) for ranks in (one, other)]
    partial = per_state.partial_spearman(pairs, "score", "other", "fixed")
    if min(np.std(rest) for rest in left) > 1e-6:
        assert partial == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)


def test_a_constant_has_no_correlation_and_few_distinct_scores():
    pairs = _pairs([[0.5] * 4, [0.1, 0.2, 0.3, 0.3]], position=[[0, 1, 2, 3]] * 2)
    found = per_state.spearman(pairs, "score", "position")
    assert np.isnan(found[0]) and found[1] > 0.9
    np.testing.assert_array_equal(per_state.distinct(pairs, "score"), [0.25, 0.75])


def test_item_means_are_of_the_other_states(monkeypatch):
    monkeypatch.setattr(per_state, "SHARED_BY", 3)
    found = per_state.less_item_means(_pairs([[0.9, 0.1], [0.3, 0.2], [0.6, np.nan]]), "score")
    assert found["item"].to_list() == [0, 0, 0]
    np.testing.assert_allclose(found["personal"], [0.9 - 0.45, 0.3 - 0.75, 0.6 - 0.6], atol=1e-12)


def test_a_mean_over_states_has_an_interval():
    values = np.array([0.2, np.nan, 0.4, 0.6])
    found = per_state.state_mean(values)
    assert found.mean == pytest.approx(0.4) and found.states == 3 and 0.2 <= found.low < 0.4 < found.high
    assert found == per_state.state_mean(values)
    assert per_state.state_mean(np.array([np.nan, 0.7])) == per_state.StateMean(0.7, None, None, 1)
    assert per_state.state_mean(np.zeros(0)) == per_state.StateMean(None, None, None, 0)


def test_the_interval_is_as_wide_as_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    found, wide = per_state.state_mean(values), 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - wide, abs=0.15 * wide)
    assert found.high == pytest.approx(values.mean() + wide, abs=0.15 * wide)


def test_calibration_known_answer():
    scores, happened = (
        np.repeat([0.2, 0.8], 10),
        np.array([True] * 4 + [False] * 6 + [True] * 7 + [False] * 3),
    )
    found = calibration(scores, happened)
    bins = [(one.score, one.observed, one.count) for one in found.bins]
    np.testing.assert_allclose(bins, [(0.2, 0.4, 10), (0.8, 0.7, 10)])
    assert found.error == pytest.approx((0.2 + 0.1) / 2)
    assert found.brier == pytest.approx((4 * 0.64 + 6 * 0.04 + 7 * 0.04 + 3 * 0.64) / 20)
    assert found.base_rate == pytest.approx(0.55) and found.base_brier == pytest.approx(0.55 * 0.45)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_bins_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(200), 2)
    happened = rng.random(200) < scores
    found = calibration(scores, happened)
    observed, predicted = calibration_curve(happened, scores, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([one.observed for one in found.bins], observed)
    np.testing.assert_allclose([one.score for one in found.bins], predicted)
    assert sum(one.count for one in found.bins) == 200
    assert 0 <= found.error <= 1 and found.brier >= 0


def test_equal_values_share_a_bin():
    assert set(equal_mass(np.full(50, 0.3), 10)) == {0}
    np.testing.assert_array_equal(np.bincount(equal_mass(np.arange(100), 10)), [10] * 10)


def test_popularity_leaves_the_users_own_interactions_out(make_dataset, tmp_path):
    dataset = make_dataset()
    pairs = judged_pairs(_write(tmp_path / "table", dataset, lambda *_: 0.5, histories=True), dataset)
    met = interaction_matrix(dataset, user_states(dataset).users)
    others = met.sum(axis=0) - met
    state, item = pairs["state"].to_numpy(), pairs["item"].to_numpy()
    np.testing.assert_array_equal(pairs["popularity"], others[state, item])
    held_out = interaction_matrix(dataset, user_states(dataset).users, "held_out")
    np.testing.assert_array_equal(pairs["relevant"], held_out[state, item])
    assert set(pairs.filter("relevant")["grade"].round(3)) <= {0.9, 0.2}
    assert pairs.filter(~pl.col("relevant"))["grade"].max() == 0
    assert (np.diff(state) >= 0).all() and pairs["position"][:2].to_list() == [0, 1]


def test_online_users_change_no_number(make_dataset, tmp_path):
    found = []
    for seed in (0, 1):
        dataset = make_dataset(online_seed=seed)
        table = _write(tmp_path / str(seed), dataset, lambda user, item, _: (user * 7 + item) % 11 / 10)
        found.append(evaluate_table(table, dataset))
    assert replace(found[0], table="") == replace(found[1], table="")


def test_a_judge_that_knows_the_answers(make_dataset, tmp_path):
    dataset = make_dataset()
    found = evaluate_table(_write(tmp_path / "t", dataset, lambda *pair: float(pair[2])), dataset)
    assert found.judge.auc.mean == 1 and found.judge.auc.states == 16
    assert found.calibration.error == 0 and found.calibration.brier == 0
    assert found.calibration.base_rate == pytest.approx(4 / 26)  # 4 held out of 26 outside the history
    assert found.popularity.auc.mean < 1 and found.content.auc.mean < 1
    assert found.states == 16 and found.pairs == 16 * 26 and found.label_mass is None


def test_a_table_is_compared_with_popularity_and_the_content_judge_user_by_user(make_dataset, tmp_path):
    dataset = make_dataset()
    directory = _write(tmp_path / "t", dataset, lambda user, item, _: (user * 7 + item) % 11 / 10)
    found, pairs = evaluate_table(directory, dataset), judged_pairs(directory, dataset)
    pairs = pairs.with_columns(content=pl.Series(content_scores(dataset, pairs)))
    for over, other in ((found.over_popularity, "popularity"), (found.over_content, "content")):
        paired = per_state.auc(pairs, "score") - per_state.auc(pairs, other)
        assert over == per_state.state_mean(paired) and abs(over.mean) > 0.05 and over.states == 16
    of_popularity, of_content = comparisons(found)
    assert "less that of popularity on the same pairs is +0." in of_popularity
    assert "less that of the content judge" in of_content
    alone = evaluate_table(directory, dataset, content=False)
    assert alone.over_content is None and comparisons(alone) == [of_popularity]
    against = _write(tmp_path / "against", dataset, lambda *pair: 1.0 - float(pair[2]))
    worst = evaluate_table(against, dataset)
    assert losses(found) == [of_content] and losses(worst) == comparisons(worst) and len(losses(worst)) == 2


@pytest.mark.parametrize(
    ("over", "verdict"),
    [
        (per_state.StateMean(0.1, 0.01, 0.2, 9), "+0.100 [+0.010, +0.200]: clearly better"),
        (per_state.StateMean(-0.1, -0.2, -0.01, 9), "-0.100 [-0.200, -0.010]: clearly worse"),
        (per_state.StateMean(0.1, 0.0, 0.2, 9), "+0.100 [+0.000, +0.200]: not clearly different"),
        (per_state.StateMean(0.1, None, None, 1), "+0.100: one user does not tell"),
    ],
)
def test_a_difference_is_called_clear_where_its_interval_is(over, verdict):
    assert auc_beside(over, "popularity").endswith(f"is {verdict}")


def test_a_judge_that_says_the_same_of_everything(make_dataset, tmp_path):
    dataset = make_dataset()
    found = evaluate_table(_write(tmp_path / "t", dataset, lambda *_: 0.5), dataset, content=False)
    assert found.judge.auc.mean == 0.5 and found.judge.distinct == pytest.approx(1 / 26)
    assert found.judge.position.states == found.judge.popularity.states == 0
    assert found.content is None and found.content_calibration is None
    assert found.calibration.error == pytest.approx(0.5 - 4 / 26)


def test_only_a_personal_judge_has_a_personal_part(make_dataset, tmp_path):
    dataset = make_dataset()
    met = interaction_matrix(dataset, user_states(dataset).users).sum(axis=0)
    crowd = evaluate_table(
        _write(tmp_path / "crowd", dataset, lambda _, item, __: met[item] / 16), dataset, content=False
    )
    genre = evaluate_table(
        _write(tmp_path / "genre", dataset, lambda user, item, _: 0.9 if item % 3 == user % 3 else 0.1),
        dataset,
    )
    assert crowd.judge.personal_auc.mean == 0.5 and crowd.judge.popularity.mean > 0.9
    assert genre.judge.personal_auc.mean > 0.7 > 0.65 > abs(genre.judge.popularity.mean)
    assert genre.popularity.personal_auc is None


def test_too_few_states_have_no_personal_part(make_dataset, tmp_path):
    dataset = make_dataset(num_users=12)  # of whom 8 are offline
    found = evaluate_table(_write(tmp_path / "t", dataset, lambda *pair: float(pair[2])), dataset)
    assert found.judge.personal_auc is None and found.judge.auc.states == 8


def test_position_bias_is_told_from_popularity_that_follows_the_order(make_dataset, tmp_path):
    dataset = make_dataset(num_users=60)
    fading = evaluate_table(
        _write(tmp_path / "fading", dataset, lambda _, item, __: 1 - item / 30), dataset, content=False
    )
    assert fading.judge.position.mean == pytest.approx(-1)
    assert fading.judge.position_bias.mean < -0.9
    met = interaction_matrix(dataset, user_states(dataset).users).sum(axis=0)
    rename = np.argsort(np.argsort(-met, kind="stable"), kind="stable")  # now ids follow popularity
    by_popularity = dataset.interactions.with_columns(
        item=pl.Series(rename[dataset.interactions["item"].to_numpy()], dtype=pl.Int32)
    )
    dataset = replace(dataset, interactions=by_popularity)
    noise = np.random.default_rng(0).random((60, 30)) * 8
    popular = evaluate_table(
        _write(
            tmp_path / "popular", dataset, lambda user, item, _: (np.sort(met)[::-1][item] + noise[user, item]) / 60
        ),
        dataset, content=False,
    )  # fmt: skip
    assert popular.judge.position.mean < -0.6 and abs(popular.judge.position_bias.mean) < 0.15


def test_label_mass_and_rejected_pairs(make_dataset, tmp_path):
    dataset = make_dataset()
    directory = _write(
        tmp_path / "t", dataset, lambda user, item, known: None if item == 3 else float(known),
        log_yes=np.full(16 * 26, np.log(0.5)), log_no=np.where(np.arange(16 * 26) % 10, np.log(0.4), np.log(0.1)),
    )  # fmt: skip
    found = evaluate_table(directory, dataset, content=False)
    lost = int((~interaction_matrix(dataset, user_states(dataset).users, "history"))[:, 3].sum())
    assert (found.rejected, found.pairs) == (lost, 16 * 26 - lost)
    assert found.label_mass.pairs == found.pairs and found.label_mass.low == pytest.approx(0.6)
    assert 0.85 < found.label_mass.mean < 0.88
    assert found.label_mass.labels == found.label_mass.answers == ()  # nobody says what was asked for
    assert found.judge.auc.mean == 1


def test_the_content_judge_is_asked_the_same_pairs_even_of_some_users_only(make_dataset, tmp_path):
    dataset = make_dataset(num_users=60)
    judge = build_judge("content", dataset)
    whole = run_job(dataset, judge, CandidateConfig(4, 3, 2), tmp_path / "whole", progress=False)
    found = evaluate_table(tmp_path / "whole", dataset)
    assert found.content == found.judge and found.content_calibration == found.calibration
    # A table of some users numbers its states anew; the judge's folds do not follow the new numbers.
    plan_job(dataset, CandidateConfig(4, 3, 2), tmp_path / "some", states=7)
    job = open_job(tmp_path / "some", judge.info)
    for shard in range(job.num_shards):
        judge_shard(job, judge, shard)
    some = finish_job(job)
    pairs = judged_pairs(tmp_path / "some", dataset)
    known = {
        (user, item): score
        for user, item, score in zip(whole.users[whole.state], whole.item, whole.score, strict=True)
    }
    expected = [known[pair] for pair in pairs.select("user", "item").iter_rows()]
    np.testing.assert_array_equal(content_scores(dataset, pairs), np.array(expected, np.float32))
    np.testing.assert_array_equal(some.score, np.array(expected, np.float32))


def test_plain_values_and_a_figure_of_them_alone(make_dataset, tmp_path):
    dataset = make_dataset()
    found = evaluate_table(_write(tmp_path / "t", dataset, lambda *_: 0.5), dataset)
    json.dumps(plain(found), allow_nan=False)
    found = replace(found, judge_model="a $model_{of}$ <no> name")
    for name in ("a.svg", "b.svg"):
        write_figure(found, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_text().count("<path") > 50


def test_what_cannot_be_measured_is_refused(make_dataset, tmp_path):
    dataset = make_dataset()
    with pytest.raises(InputError, match="other logs"):
        evaluate_table(_write(tmp_path / "t", dataset, lambda *_: 0.5), make_dataset(seed=4))
    with pytest.raises(InputError, match="none of its 416 pairs was judged"):
        evaluate_table(_write(tmp_path / "u", dataset, lambda *_: None), dataset)


def _table(directory, users, scores, dataset="logs"):
    scores = np.asarray(scores, float)
    state, item = np.nonzero(~np.isnan(scores))
    frame = pl.DataFrame({"state": state, "item": item, "score": scores[state, item]})
    pairs = pl.concat([pl.DataFrame(schema=SCHEMA), frame], how="diagonal_relaxed")
    write_table(directory, pairs, describe(np.array(users, np.int32), INFO, scores.shape[1], dataset, ()))
    return directory


def test_agreement_known_answer(tmp_path):
    up = np.arange(20) / 20
    a = _table(tmp_path / "a", [5, 7, 8], [up, up, up])
    half = np.where(np.arange(20) < 2, np.nan, up[::-1])
    b = _table(tmp_path / "b", [7, 5, 9], [up + 0.01, half, up])
    found = agreement(a, b)
    # User 7 agrees but for a constant, user 5 is reversed over 18 common items, 8 and 9 stand alone.
    assert (found.pairs, found.states) == (38, 2)
    assert found.spearman.mean == pytest.approx(0) and found.spearman.states == 2
    expected = (20 * 0.01 + np.abs(up[2:] - up[::-1][2:]).sum()) / 38
    assert found.difference == pytest.approx(expected, abs=1e-6)
    assert found.top.mean == pytest.approx(0.5)
    assert agreement(a, a).top.mean == 1 and agreement(a, a).difference == 0


def test_unrelated_tables_share_a_tenth_of_the_top(tmp_path):
    rng = np.random.default_rng(0)
    a, b = (_table(tmp_path / name, range(200), rng.random((200, 50))) for name in "ab")
    found = agreement(a, b)
    assert abs(found.spearman.mean) < 0.05 and 0.06 < found.top.mean < 0.14
    assert found.difference == pytest.approx(1 / 3, abs=0.02)


def test_tables_that_share_nothing_are_refused(tmp_path):
    a = _table(tmp_path / "a", [1], [[0.5, np.nan]])
    with pytest.raises(InputError, match="no pair"):
        agreement(a, _table(tmp_path / "b", [1], [[np.nan, 0.5]]))
    with pytest.raises(InputError, match="other logs"):
        agreement(a, _table(tmp_path / "c", [1], [[0.5, 0.5]], dataset="others"))


def test_the_content_judge_on_steam_is_above_popularity(shared_data, tmp_path):
    from ialp_jax.data import steam
    from ialp_jax.data.build import DataConfig

    dataset = steam.load(shared_data / "steam", DataConfig())
    run_job(dataset, build_judge("content", dataset), CandidateConfig(), tmp_path / "table", progress=False)
    found = evaluate_table(tmp_path / "table", dataset)
    # Measured: AUC .818 against .768, NDCG .347 against .270, personal .654, position -.51 (bias +.09).
    assert (
        found.judge.auc.low > found.popularity.auc.high and found.judge.ndcg.low > found.popularity.ndcg.high
    )
    assert found.judge.personal_auc.low > 0.6 and found.content == found.judge
    assert found.judge.position.mean < -0.4 and abs(found.judge.position_bias.mean) < 0.2


def test_neither_jax_nor_a_display_is_needed():
    names = "quality.agreement, quality.evaluation, quality.figure, quality.rows, quality.gate, job.merge"
    code = "".join(f"import ialp_jax.preferences.{name}\n" for name in names.split(", "))
    code += "import sys\nassert not {'jax', 'matplotlib.pyplot'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_in_list_mode_the_position_is_the_mean_place_in_the_prompts(make_dataset, tmp_path):
    dataset = make_dataset()
    _write(tmp_path / "t", dataset, lambda *_: 0.5)
    shard, job = tmp_path / "t" / "shard-000000.parquet", tmp_path / "t" / "job.json"
    raw = [
        '[{"letter": "A", "place": 0, "of": 3, "log_p": -1.0}, {"letter": "D", "place": 3, "of": 3, "log_p": -2.0}]'
    ]
    pairs = pl.read_parquet(shard).head(1).with_columns(raw=pl.Series(raw))
    rejected = pairs.with_columns(item=pl.lit(7, pl.Int32), score=None, raw=pl.lit("rejected: too long"))
    pl.concat([pairs, rejected], how="vertical_relaxed").write_parquet(shard)
    record = json.loads(job.read_text())
    record["judge"]["settings"]["mode"] = "list"
    job.write_text(json.dumps(record))
    assert asked_pairs(tmp_path / "t")["position"].to_list() == [1.5, None]
