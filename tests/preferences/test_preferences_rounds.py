"""A further round: what it asks, what it never asks, what a budget pays, and that the parts fit together."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from rich.console import Console
from tiny_runs import tiny_network, tiny_params

from ialp_jax import environments
from ialp_jax.artifacts import InputError, read_manifest
from ialp_jax.commands.prefs import extend
from ialp_jax.environments.logs import Logs
from ialp_jax.policies.artifact import load_policy, save_policy
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.completion import reward_model
from ialp_jax.preferences.job.job import finish_job, judge_shard, open_job, run_job
from ialp_jax.preferences.job.merge import merge_tables
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.job.rounds import RoundConfig, highest, next_candidates, plan_round
from ialp_jax.preferences.judges.base import REJECTED, JudgeInfo, Judgement
from ialp_jax.preferences.quality.disagreement import EnsembleConfig, disagreement
from ialp_jax.preferences.states import UserStates, interaction_matrix, user_states
from ialp_jax.preferences.table import PreferenceTable, write_table

QUICK = EnsembleConfig(members=3, steps=20)
CANDIDATES = CandidateConfig(similar=3, popular=2, random=1)
ITEMS, STATES = 30, 16


class SpyJudge:
    """Scores by item, rejects every multiple of 13, and remembers what it was asked."""

    info = JudgeInfo("spy", False, "none", "1", "", {}, "A test's judge, not an LLM.")

    def __init__(self):
        self.asked = []

    def judge(self, requests):
        self.asked += [(request.state, item) for request in requests for item in request.items]
        return [
            Judgement(np.array([np.nan if item % 13 == 0 else item % 7 / 7 for item in request.items], np.float32),
                      [f"{REJECTED}13" if item % 13 == 0 else "" for item in request.items])
            for request in requests
        ]  # fmt: skip


@pytest.fixture
def quiet():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def judged(make_dataset, tmp_path, quiet):
    """The small world, and the folder of a table of six asked pairs per state."""
    dataset = make_dataset()
    run_job(dataset, SpyJudge(), CANDIDATES, tmp_path / "table", progress=False, console=quiet)
    return dataset, tmp_path / "table"


@pytest.fixture
def policy(make_dataset, tmp_path):
    """Folder of a saved policy over the small world's catalogue."""
    network = tiny_network(ITEMS)
    folder = tmp_path / "policy"
    save_policy(folder, tiny_params(network), network.module.config, make_dataset().items, 4, [])
    return folder


def _pairs(requests):
    """(user, item) of everything asked, as a set; none twice."""
    pairs = requests.states.select("user", "items").explode("items").rows()
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


def _judge(directory, judge, console):
    job = open_job(directory, judge.info, console=console)
    for shard in job.missing(range(job.num_shards)):
        judge_shard(job, judge, shard)
    return finish_job(job)


@pytest.mark.parametrize("by", ["disagreement", "policy"])
def test_nothing_is_asked_twice_nor_from_the_history(judged, policy, tmp_path, quiet, by):
    dataset, table = judged
    config = RoundConfig(by, per_state=8, policy=policy if by == "policy" else None, ensemble=QUICK)
    requests = plan_round(table, dataset, tmp_path / "next", config, console=quiet)
    assert requests.pairs().tolist() == [8] * STATES
    before = _pairs(Requests.load(table / FOLDER))
    assert (
        PreferenceTable.load(table).rejected > 0 and len(before) == 6 * STATES
    )  # rejected ones count as asked
    assert not _pairs(requests) & before
    met = interaction_matrix(dataset, np.arange(24), "history")
    assert not any(met[user, item] for user, item in _pairs(requests))
    assert all(row == sorted(row) for row in requests.states["items"].to_list())


def test_all_that_is_left_is_asked_and_then_nothing(judged, tmp_path, quiet):
    dataset, table = judged
    everything = RoundConfig(per_state=ITEMS, ensemble=QUICK)
    requests = plan_round(table, dataset, tmp_path / "next", everything, console=quiet)
    assert requests.pairs().tolist() == [ITEMS - 4 - 6] * STATES
    _judge(tmp_path / "next", SpyJudge(), quiet)
    merge_tables([table, tmp_path / "next"], tmp_path / "all")
    with pytest.raises(InputError, match="judged already"):
        plan_round(tmp_path / "all", dataset, tmp_path / "more", everything, console=quiet)
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("left", [1, 5, STATES * 3 - 1])
def test_a_budget_is_kept_to_the_judgement_and_pays_the_highest_scores(judged, policy, tmp_path, quiet, left):
    dataset, table = judged
    spent = 6 * STATES  # rejected ones among them
    config = RoundConfig("policy", per_state=3, budget=spent + left, policy=policy)
    some = plan_round(table, dataset, tmp_path / "some", config, console=quiet)
    unlimited = replace(config, budget=None)
    every = plan_round(table, dataset, tmp_path / "every", unlimited, console=quiet)
    assert len(_pairs(some)) == left and _pairs(some) < _pairs(every) and len(_pairs(every)) == 3 * STATES
    loaded, states = load_policy(policy), user_states(dataset)
    probability = {}
    for row, user in enumerate(states.users.tolist()):
        for one in loaded.recommend(states.items[row].tolist(), states.grades[row].tolist(), ITEMS - 4):
            probability[user, one.item] = one.probability
    lowest = min(probability[pair] for pair in _pairs(some))
    assert all(probability[pair] <= lowest * (1 + 1e-5) for pair in _pairs(every) - _pairs(some))
    # States that got nothing are not in the job: a judge need not know what to do with no item.
    assert some.pairs().min() >= 1


@pytest.mark.parametrize("budget", [1, 6 * STATES])
def test_a_spent_budget_is_said(judged, tmp_path, quiet, budget):
    dataset, table = judged
    with pytest.raises(InputError, match=r"96 judgements already.*nothing is left"):
        plan_round(
            table, dataset, tmp_path / "next", RoundConfig(budget=budget, ensemble=QUICK), console=quiet
        )
    assert not (tmp_path / "next").exists()


def test_the_policys_own_order_is_followed(judged, policy):
    dataset, directory = judged
    table, states = PreferenceTable.load(directory), user_states(dataset)
    found = next_candidates(table, dataset, RoundConfig("policy", per_state=5, policy=policy))
    loaded, seen = load_policy(policy), table.dense()[1]
    for state, row in enumerate(found):
        ranked = loaded.recommend(states.items[state].tolist(), states.grades[state].tolist(), ITEMS - 4)
        assert set(row) == set([one.item for one in ranked if not seen[state, one.item]][:5])
    assert len({tuple(row) for row in found.tolist()}) > 1  # else the state would not matter


def test_a_policy_of_another_catalogue_is_refused(judged, policy, make_dataset, tmp_path):
    dataset, directory = judged
    other = dataset.items.with_columns(raw_id=pl.col("raw_id").reverse())
    network = tiny_network(ITEMS)
    save_policy(tmp_path / "other", tiny_params(network), network.module.config, other, 4, [])
    with pytest.raises(InputError, match="another catalogue"):
        next_candidates(
            PreferenceTable.load(directory), dataset, RoundConfig("policy", policy=tmp_path / "other")
        )


def _half_known():
    """40 states, 20 items without text: every state has judged half of items 0..9, none any of 10..19."""
    rng = np.random.default_rng(0)
    judged = np.zeros((40, 20), bool)
    judged[:, :10] = rng.permuted(np.tile([True, False], (40, 5)), axis=1)
    state, item = np.nonzero(judged)
    score = np.where(item % 2 == 0, 0.8, 0.2).astype(np.float32)  # all agree: the judged items hold no doubt
    table = PreferenceTable(np.arange(40, dtype=np.int32), state.astype(np.int32), item.astype(np.int32), score,
                            SpyJudge.info, 20, ())  # fmt: skip
    nothing = UserStates(table.users, np.full((40, 1), 20, np.int32), np.zeros((40, 1), np.float32))
    return table, nothing, judged


def test_the_ensemble_disagrees_where_it_was_told_nothing():
    table, states, judged = _half_known()
    vectors = np.zeros((20, 2), np.float32)
    found = disagreement(table, states, vectors, EnsembleConfig(members=6, prior=1.0))
    told, untold = found[:, :10][~judged[:, :10]], found[:, 10:]
    assert untold.mean() > 2 * told.mean()
    # And why there is a prior: without it the penalties make all members say the same of unknown items.
    blind = disagreement(table, states, vectors, EnsembleConfig(members=6, prior=0.0))
    assert blind[:, 10:].mean() < 0.5 * untold.mean()


def test_the_mean_weight_adds_the_members_mean():
    table, states, _ = _half_known()
    config = EnsembleConfig(members=4)
    plain = disagreement(table, states, np.zeros((20, 2), np.float32), config)
    bound = disagreement(table, states, np.zeros((20, 2), np.float32), replace(config, mean_weight=2.0))
    mean = (bound - plain) / 2
    assert abs(mean[:, 0:10:2].mean() - 0.8) < 0.05 and abs(mean[:, 1:10:2].mean() - 0.2) < 0.05


def test_the_spread_is_the_standard_deviation_of_the_members(monkeypatch):
    table, states, _ = _half_known()
    said = iter([0.1, 0.4, 0.7])
    monkeypatch.setattr(reward_model, "fit", lambda *arguments: None)
    monkeypatch.setattr(reward_model, "predict", lambda *arguments: jnp.full((40, 20), next(said)))
    found = disagreement(table, states, np.zeros((20, 2), np.float32), EnsembleConfig(members=3))
    np.testing.assert_allclose(found, np.std([0.1, 0.4, 0.7]), rtol=1e-6)


def test_highest_takes_the_free_ones_and_breaks_ties_by_item():
    score = np.array([[0.1, 0.9, 0.9, 0.5], [0.3, -np.inf, 0.2, 0.1]])
    taken = np.array([[False, True, False, False], [True, False, True, False]])
    np.testing.assert_array_equal(
        highest(score, taken, 2), [[False, False, True, True], [False, False, False, True]]
    )
    level = highest(np.zeros((1, 4)), np.zeros((1, 4), bool), 2)
    np.testing.assert_array_equal(level, [[True, True, False, False]])


def test_the_same_call_gives_the_same_requests_and_keeps_what_is_judged(judged, tmp_path, quiet):
    dataset, table = judged
    config = RoundConfig(per_state=4, ensemble=QUICK)
    first = plan_round(table, dataset, tmp_path / "next", config, console=quiet)
    _judge(tmp_path / "next", SpyJudge(), quiet)
    again = plan_round(table, dataset, tmp_path / "next", config, console=quiet)
    assert first.fingerprint() == again.fingerprint() and quiet.file.getvalue() == ""
    judge = SpyJudge()
    _judge(tmp_path / "next", judge, quiet)
    assert judge.asked == []
    other = replace(config, ensemble=replace(QUICK, seed=1))
    assert (
        plan_round(table, dataset, tmp_path / "next", other, console=quiet).fingerprint()
        != first.fingerprint()
    )
    assert "other chosen" in quiet.file.getvalue() and (tmp_path / "next.old-1").is_dir()


def test_the_requests_name_their_table_their_rule_and_say_so(judged, policy, tmp_path, quiet):
    dataset, table = judged
    requests = plan_round(
        table, dataset, tmp_path / "a", RoundConfig(per_state=4, ensemble=QUICK), console=quiet
    )
    said = requests.source["chosen"]["round"]
    assert said["table"] == read_manifest(table, "preferences").fingerprint
    assert (said["rule"], said["per_state"], said["ensemble"]["members"]) == ("disagreement", 4, 3)
    assert requests.source["split"] == "offline"
    (statement,) = Requests.load(tmp_path / "a" / FOLDER).statements
    judgements = PreferenceTable.load(table).num_judgements
    assert "64 items" in statement and "disagree" in statement and f"{judgements} judgements" in statement
    config = RoundConfig("policy", per_state=4, policy=policy)
    (statement,) = plan_round(table, dataset, tmp_path / "b", config, console=quiet).statements
    assert "policy" in statement and "disagree" not in statement


def test_another_tables_answers_make_another_round(judged, tmp_path, quiet):
    """Two tables with one manifest fingerprint (it knows what was asked, not what was answered)."""
    dataset, table = judged

    class Contrary(SpyJudge):
        def judge(self, requests):
            return [replace(one, scores=1 - one.scores) for one in super().judge(requests)]

    run_job(dataset, Contrary(), CANDIDATES, tmp_path / "other", progress=False, console=quiet)
    marks = {read_manifest(folder, "preferences").fingerprint for folder in (table, tmp_path / "other")}
    assert len(marks) == 1
    config = RoundConfig(per_state=ITEMS, ensemble=QUICK)  # all that is left: the same pairs
    rounds = [plan_round(folder, dataset, tmp_path / f"next-{number}", config, console=quiet)
              for number, folder in enumerate((table, tmp_path / "other"))]  # fmt: skip
    assert _pairs(rounds[0]) == _pairs(rounds[1]) and rounds[0].fingerprint() != rounds[1].fingerprint()


def test_two_rounds_end_to_end(tmp_path, quiet, capsys):
    """plan, judge, extend, judge, merge, extend the merged table by its own requests."""
    logs = Logs("synthetic", None, environments.get("synthetic")[1].data)
    plan_job(logs.dataset(), CANDIDATES, tmp_path / "table", states=20, logs=logs.record(), console=quiet)
    table, folder = _judge(tmp_path / "table", SpyJudge(), quiet), tmp_path / "table"
    for number in (1, 2):
        extend.run([str(folder), "--out", str(tmp_path / f"next-{number}"), "--per-state", "5", "--budget", "290",
                    "--ensemble.members", "2", "--ensemble.steps", "5"])  # fmt: skip
        new = _judge(tmp_path / f"next-{number}", SpyJudge(), quiet)
        union = merge_tables([folder, tmp_path / f"next-{number}"], tmp_path / f"merged-{number}")
        assert union.num_judgements == table.num_judgements + new.num_judgements > table.num_judgements
        table, folder = union, tmp_path / f"merged-{number}"
    assert table.num_judgements + table.rejected == 290  # 120 + 100 + 70
    assert "makes 290 of 290" in " ".join(capsys.readouterr().out.split())
    assert any("further round" in statement for statement in table.statements)


def _bare(table, directory, **changes):
    """The same table without requests, as one that was written by hand; `changes` None takes an entry away."""
    job = json.loads((table / "job.json").read_text()) | changes
    kept = {name: value for name, value in job.items() if value is not None}
    write_table(directory, pl.read_parquet(table / "shard-*.parquet"), kept)
    return directory


def test_a_table_without_requests_is_extended_by_a_jobs_own(tmp_path, quiet):
    logs = Logs("synthetic", None, environments.get("synthetic")[1].data)
    plan_job(logs.dataset(), CANDIDATES, tmp_path / "job", states=8, logs=logs.record(), console=quiet)
    _judge(tmp_path / "job", SpyJudge(), quiet)
    bare, said = (
        _bare(tmp_path / "job", tmp_path / "bare"),
        ["--ensemble.members", "2", "--ensemble.steps", "5"],
    )
    with pytest.raises(InputError, match="--requests DIR"):
        extend.run([str(bare), "--out", str(tmp_path / "next"), *said])
    extend.run([str(bare), "--out", str(tmp_path / "next"), "--requests", str(tmp_path / "job"), *said])
    assert Requests.load(tmp_path / "next" / FOLDER).pairs().tolist() == [40] * 8


def test_bad_settings_are_refused(judged, tmp_path, quiet, make_dataset):
    dataset, table = judged
    with pytest.raises(InputError, match="per_state"):
        RoundConfig(per_state=0)
    with pytest.raises(InputError, match="--by policy"):
        RoundConfig("policy")
    with pytest.raises(InputError, match="--by policy"):
        RoundConfig(policy=tmp_path)
    with pytest.raises(InputError, match="members"):
        EnsembleConfig(members=1)
    with pytest.raises(InputError, match="overwrite its table"):
        plan_round(table, dataset, table, RoundConfig(), console=quiet)
    with pytest.raises(InputError, match="other logs"):
        plan_round(table, make_dataset(seed=3), tmp_path / "next", RoundConfig(), console=quiet)


def test_a_table_that_does_not_say_its_words_is_refused(judged, tmp_path, quiet):
    dataset, table = judged
    bare = _bare(table, tmp_path / "bare", attributes_length=None)
    with pytest.raises(InputError, match="in which words"):
        plan_round(bare, dataset, tmp_path / "next", RoundConfig(ensemble=QUICK), console=quiet)


def test_the_room_stays_host_only():
    code = "import sys, ialp_jax.preferences.job.rounds; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
