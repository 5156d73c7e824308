"""Merging: parts of one job to the bytes of the whole, tables of one judge to the union of their pairs."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax.artifacts import InputError, read_json, read_manifest
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import finish_job, judge_shard, open_job, run_job
from ialp_jax.preferences.job.merge import merge_tables
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.judges import JudgeInfo, Judgement, Usage
from ialp_jax.preferences.table import COSTS, SCHEMA, PreferenceTable, describe, read_pairs, write_table


class SpyJudge:
    """Scores by a hash of history and item; every pair costs one call of ten tokens."""

    def __init__(self, revision="1", statement="A test's judge.", settings=None, shift=0.0):
        self.info = JudgeInfo("spy", False, "none", revision, "", settings or {}, statement)
        self.shift = shift

    def judge(self, requests):
        return [
            Judgement(
                np.array([(sum(one.history) + item) % 11 / 20 + self.shift for item in one.items], np.float32),
                [f"answer {item}" for item in one.items],
                usage=Usage(*(np.full(len(one.items), cost, np.int32) for cost in (1, 10, 4))),
            )
            for one in requests
        ]  # fmt: skip


def _job(dataset, directory, judge=None, candidates=None, **options):
    candidates = candidates or CandidateConfig(4, 3, 2)
    options = {"states_per_shard": 5, "progress": False} | options
    run_job(dataset, judge or SpyJudge(), candidates, directory, **options)
    return directory


def _part(whole: Path, directory: Path, shards: set[int]) -> Path:
    """What lies on a machine that judged some shards of a job."""
    shutil.copytree(whole, directory)
    (directory / "manifest.json").unlink()
    for number, path in enumerate(sorted(directory.glob("shard-*"))):
        if number not in shards:
            path.unlink()
    return directory


def _bytes(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_parts_of_a_job_give_the_bytes_of_the_whole(make_dataset, tmp_path):
    whole = _job(make_dataset(), tmp_path / "whole")
    parts = [_part(whole, tmp_path / "a", {0, 1}), _part(whole, tmp_path / "b", {1, 2, 3})]
    (parts[1] / "evaluation.json").write_text("{}")
    table = merge_tables(parts, tmp_path / "merged")
    assert _bytes(tmp_path / "merged") == _bytes(whole)
    assert table.num_judgements == 16 * 9 and Requests.load(tmp_path / "merged" / FOLDER).num_states == 16
    merge_tables([whole, parts[0]], tmp_path / "again")
    assert _bytes(tmp_path / "again") == _bytes(whole)


def test_missing_shards_are_said_and_nothing_is_left(make_dataset, tmp_path):
    whole = _job(make_dataset(), tmp_path / "whole")
    parts = [_part(whole, tmp_path / "a", {0}), _part(whole, tmp_path / "b", {3})]
    with pytest.raises(InputError, match=r"2 of 4 shards .* first is 1 \(states 5 and on\)"):
        merge_tables(parts, tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "whole"]


def test_a_shard_that_differs_is_refused_by_both_names(make_dataset, tmp_path):
    whole = _job(make_dataset(), tmp_path / "whole")
    other = _job(make_dataset(), tmp_path / "other", SpyJudge(shift=0.1))
    parts = [_part(whole, tmp_path / "a", {0, 1}), _part(other, tmp_path / "b", {1, 2, 3})]
    with pytest.raises(InputError, match=r"b/shard-000001.parquet: it differs from .*a/shard-000001.parquet"):
        merge_tables(parts, tmp_path / "merged")


def test_an_unreadable_shard_and_another_jobs_requests_are_named(make_dataset, tmp_path):
    whole = _job(make_dataset(), tmp_path / "whole")
    parts = [_part(whole, tmp_path / "a", {0, 1}), _part(whole, tmp_path / "b", {2, 3})]
    shard = parts[1] / "shard-000002.parquet"
    kept = shard.read_bytes()
    shard.write_bytes(kept[:-9])
    with pytest.raises(InputError, match=str(shard)):
        merge_tables(parts, tmp_path / "merged")
    shard.write_bytes(kept)
    shutil.rmtree(parts[0] / FOLDER)
    shutil.copytree(_job(make_dataset(seed=3), tmp_path / "other") / FOLDER, parts[0] / FOLDER)
    with pytest.raises(InputError, match="belongs to other requests"):
        merge_tables(parts, tmp_path / "merged")


def test_tables_with_other_candidates_are_united(make_dataset, tmp_path):
    dataset = make_dataset()
    a = _job(dataset, tmp_path / "a", candidates=CandidateConfig(4, 0, 0))
    b = _job(dataset, tmp_path / "b", SpyJudge(statement="In a second round."), CandidateConfig(2, 5, 0))
    table = merge_tables([a, b], tmp_path / "merged")
    tables = [PreferenceTable.load(one) for one in (a, b)]
    pairs = [set(zip(one.users[one.state], one.item, strict=True)) for one in tables]
    assert table.num_judgements == len(pairs[0] | pairs[1]) < len(pairs[0]) + len(pairs[1])
    for name in COSTS:
        assert table.costs[name] == sum(one.costs[name] for one in tables) > 0
    assert table.statements[:2] == tables[0].statements and "In a second round." in table.statements
    manifest = read_manifest(tmp_path / "merged", "preferences")
    assert manifest.parents["dataset"] == dataset.fingerprint
    assert manifest.parents["preferences 1"] == read_manifest(a, "preferences").fingerprint
    # What was asked is kept, and is what the table holds.
    requests = Requests.load(tmp_path / "merged" / FOLDER)
    assert requests.states["user"].to_list() == table.users.tolist()
    for state in range(16):
        assert sorted(requests.make(state).items) == table.item[table.state == state].tolist()
    assert requests.make(3).state_text == Requests.load(a / FOLDER).make(3).state_text
    raw = read_pairs(tmp_path / "merged", read_json(tmp_path / "merged" / "job.json"))
    assert raw["raw"].to_list() == [f"answer {item}" for item in raw["item"]]
    # A merged table can be merged again.
    c = _job(dataset, tmp_path / "c", candidates=CandidateConfig(0, 0, 3))
    again = merge_tables([tmp_path / "merged", c], tmp_path / "twice")
    assert again.costs["calls"] == 16 * (4 + 7 + 3)
    assert Requests.load(tmp_path / "twice" / FOLDER).num_states == 16


def test_tables_of_other_users_are_united_with_their_requests(make_dataset, tmp_path):
    dataset, judge = make_dataset(), SpyJudge()
    for name, seed in (("a", 0), ("b", 3)):
        plan_job(dataset, CandidateConfig(4, 3, 2, seed), tmp_path / name, states=6)
        job = open_job(tmp_path / name, judge.info)
        for shard in range(job.num_shards):
            judge_shard(job, judge, shard)
        finish_job(job)
    table = merge_tables([tmp_path / "a", tmp_path / "b"], tmp_path / "merged")
    users = [PreferenceTable.load(tmp_path / name).users.tolist() for name in "ab"]
    assert table.users.tolist() == sorted({*users[0], *users[1]}) and users[0][-1] > users[1][0]
    requests = Requests.load(tmp_path / "merged" / FOLDER)
    assert requests.states["user"].to_list() == table.users.tolist()
    for state in range(table.num_states):
        request = requests.make(state)
        assert request.state == state
        assert sorted(request.items) == table.item[table.state == state].tolist()
        expected = [(sum(request.history) + item) % 11 / 20 for item in sorted(request.items)]
        np.testing.assert_allclose(table.score[table.state == state], expected, rtol=1e-6)


def test_a_finished_part_that_was_altered_is_refused(make_dataset, tmp_path):
    whole = _job(make_dataset(), tmp_path / "whole")
    other = _job(make_dataset(), tmp_path / "other", SpyJudge(shift=0.1))
    shutil.copyfile(other / "shard-000000.parquet", whole / "shard-000000.parquet")
    with pytest.raises(InputError, match=r"whole/shard-000000\.parquet.*altered"):
        merge_tables([whole, _part(whole, tmp_path / "a", {1})], tmp_path / "merged")


@pytest.mark.parametrize(
    ("judge", "options", "told"),
    [
        (SpyJudge(revision="2"), {}, r"other judge \(revision\)"),
        (SpyJudge(settings={"mode": "list"}), {}, r"other judge \(settings\)"),
        (SpyJudge(), {"split": "online"}, "other split"),
    ],
)
def test_tables_of_another_judge_or_split_are_refused(make_dataset, tmp_path, judge, options, told):
    a = _job(make_dataset(), tmp_path / "a")
    b = _job(make_dataset(), tmp_path / "b", judge, CandidateConfig(2, 2, 2), **options)
    with pytest.raises(InputError, match=f"{b}.*cannot be merged with {a}: {told}"):
        merge_tables([a, b], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_tables_of_other_logs_are_refused(make_dataset, tmp_path):
    a, b = (_job(make_dataset(seed=seed), tmp_path / str(seed)) for seed in (0, 1))
    with pytest.raises(InputError, match="other dataset"):
        merge_tables([a, b], tmp_path / "merged")


def test_an_unfinished_table_of_another_job_is_refused(make_dataset, tmp_path):
    a = _job(make_dataset(), tmp_path / "a")
    b = _part(_job(make_dataset(), tmp_path / "x", candidates=CandidateConfig(2, 2, 2)), tmp_path / "b", {0})
    with pytest.raises(InputError, match="has not finished"):
        merge_tables([a, b], tmp_path / "merged")


def test_bad_folders_are_refused(make_dataset, tmp_path):
    a = _job(make_dataset(), tmp_path / "a")
    with pytest.raises(InputError, match="two or more"):
        merge_tables([a], tmp_path / "merged")
    with pytest.raises(InputError, match="named twice"):
        merge_tables([a, tmp_path / "." / "a"], tmp_path / "merged")
    b = _job(make_dataset(), tmp_path / "b", candidates=CandidateConfig(2, 2, 2))
    with pytest.raises(InputError, match="not empty"):
        merge_tables([a, b], a)
    with pytest.raises(InputError, match=r"job\.json"):
        merge_tables([a, tmp_path / "nothing"], tmp_path / "merged")


INFO = JudgeInfo("test", False, "none", "1", "", {}, "Not an LLM.")


def _table(directory, rows, num_items=9):
    """A table of rows (user, item, score, calls)."""
    users = np.unique([user for user, *_ in rows]).astype(np.int32)
    columns = {
        "state": [int(np.searchsorted(users, user)) for user, *_ in rows], "item": [row[1] for row in rows],
        "score": [row[2] for row in rows], "calls": [row[3] for row in rows],
    }  # fmt: skip
    pairs = pl.concat([pl.DataFrame(schema=SCHEMA), pl.DataFrame(columns)], how="diagonal_relaxed")
    pairs = pairs.with_columns(pl.col("prompt_tokens", "computed_tokens").fill_null(0))
    write_table(directory, pairs, describe(users, INFO, num_items, "logs", (INFO.statement,)))
    return directory


def test_users_are_united_and_a_pair_judged_twice_keeps_its_first_score_and_both_costs(tmp_path):
    a = _table(tmp_path / "a", [(7, 0, 0.5, 1), (9, 1, 0.25, 2)])
    b = _table(tmp_path / "b", [(4, 2, 0.75, 4), (7, 0, 0.500004, 8), (7, 3, 0.1, 16)])
    table = merge_tables([a, b], tmp_path / "merged")
    assert table.users.tolist() == [4, 7, 9]
    found = list(
        zip(table.users[table.state].tolist(), table.item.tolist(), table.score.tolist(), strict=True)
    )
    assert found == [(4, 2, 0.75), (7, 0, 0.5), (7, 3, pytest.approx(0.1)), (9, 1, 0.25)]
    assert table.costs["calls"] == 31 and not (tmp_path / "merged" / FOLDER).exists()


def test_contradictions_are_refused_with_both_scores(tmp_path):
    a = _table(tmp_path / "a", [(7, 0, 0.5, 1), (7, 1, 0.5, 1)])
    b = _table(tmp_path / "b", [(7, 1, 0.5001, 1)])
    with pytest.raises(InputError, match=r"1 pairs .* user 7 and item 1: 0.5 in .*/a, 0.5001 in .*/b"):
        merge_tables([a, b], tmp_path / "merged")


def test_a_pair_rejected_in_one_table_and_judged_in_another_is_judged(tmp_path):
    a = _table(tmp_path / "a", [(7, 0, None, 1), (7, 1, None, 1)])
    b = _table(tmp_path / "b", [(7, 0, 0.5, 1)])
    table = merge_tables([a, b], tmp_path / "merged")
    assert (table.score.tolist(), table.rejected, table.costs["calls"]) == ([0.5], 1, 3)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_however_pairs_are_dealt_to_tables_their_union_is_the_same(tmp_path_factory, seed):
    rng, tmp_path = np.random.default_rng(seed), tmp_path_factory.mktemp("merge")
    pairs = [
        (user, item, (user * 5 + item) % 13 / 13, int(rng.integers(5)))
        for user in range(3)
        for item in range(4)
    ]
    deals = [[pair for pair in pairs if rng.random() < 0.6] or pairs[:1] for _ in range(3)]
    sources = [_table(tmp_path / str(number), rows) for number, rows in enumerate(deals)]
    table = merge_tables(sources, tmp_path / "merged")
    expected = sorted({pair[:3] for rows in deals for pair in rows})
    found = zip(table.users[table.state].tolist(), table.item.tolist(), table.score.tolist(), strict=True)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other)
    assert table.costs["calls"] == sum(pair[3] for rows in deals for pair in rows)
    backwards = merge_tables(sources[::-1], tmp_path / "backwards")
    np.testing.assert_array_equal(backwards.score, table.score)
