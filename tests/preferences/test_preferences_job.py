"""The batch job: what it asks, how it resumes, and what it does with a directory of another job."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from ialp_jax.artifacts import InputError, read_manifest
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import run_job
from ialp_jax.preferences.judges import JudgeInfo, Judgement, build_judge
from ialp_jax.preferences.prompting.prompts import template_hash
from ialp_jax.preferences.states import user_states
from ialp_jax.preferences.table import PreferenceTable

CANDIDATES = CandidateConfig(similar=4, popular=3, random=2)


class SpyJudge:
    """Scores by a hash of state and item, remembers what it was asked, fails after `calls` calls."""

    def __init__(self, calls: int | None = None, revision: str = "1"):
        self.calls, self.requests = calls, []
        self.info = JudgeInfo("spy", False, "none", revision, "", {}, "A test's judge, not an LLM.")

    def judge(self, requests):
        if self.calls is not None and self.calls == 0:
            raise RuntimeError("the machine was taken away")
        self.calls = None if self.calls is None else self.calls - 1
        self.requests.extend(requests)
        return [
            Judgement(np.array([(request.state * 7 + item) % 11 / 10 for item in request.items], np.float32),
                      [f"answer {item}" for item in request.items])
            for request in requests
        ]  # fmt: skip


def _run(dataset, judge, directory, **options):
    console = Console(file=io.StringIO(), width=200)
    table = run_job(dataset, judge, CANDIDATES, directory, states_per_shard=5, console=console, **options)
    return table, console.file.getvalue()


def _bytes(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_what_is_asked_and_what_is_kept(make_dataset, tmp_path):
    dataset, judge = make_dataset(), SpyJudge()
    table, shown = _run(dataset, judge, tmp_path / "job")
    assert table.num_states == 16 and table.num_judgements == 16 * 9 and "pairs/s" in shown
    request, states = judge.requests[3], user_states(dataset)
    assert request.history == tuple(states.items[3].tolist())
    assert request.history_grades == pytest.approx(states.grades[3])
    assert request.item_texts[0].startswith(f"Title{request.items[0]}. ")
    assert request.state_text.splitlines()[-1].startswith(f"4. Title{request.history[-1]} (played")
    dense, judged = table.dense()
    np.testing.assert_array_equal(np.flatnonzero(judged[3]), request.items)
    assert dense[3, request.items[0]] == np.float32((21 + request.items[0]) % 11 / 10)
    assert pl.read_parquet(tmp_path / "job" / "shard-000000.parquet")["raw"][0].startswith("answer")
    manifest = read_manifest(tmp_path / "job", "preferences")
    assert manifest.config["judgements"] == 144 and manifest.parents == {"dataset": dataset.fingerprint}
    assert manifest.config["template_hash"] == template_hash("games", "implicit")
    assert "not an LLM" in manifest.statements[0] and table.statements == tuple(manifest.statements)


@pytest.mark.parametrize("shards", [0, 1, 3])
def test_an_interrupted_job_resumes_to_the_same_bytes(make_dataset, tmp_path, shards):
    dataset = make_dataset()
    expected, _ = _run(dataset, SpyJudge(), tmp_path / "whole")
    with pytest.raises(RuntimeError, match="taken away"):
        _run(dataset, SpyJudge(calls=shards), tmp_path / "broken")
    with pytest.raises(InputError, match="not finished"):
        PreferenceTable.load(tmp_path / "broken")
    # What kill -9 leaves of a file that was being written.
    (tmp_path / "broken" / ".shard-000003.parquet.x1y2").mkdir()
    judge = SpyJudge()
    table, _ = _run(dataset, judge, tmp_path / "broken")
    assert [request.state for request in judge.requests] == list(range(5 * shards, 16))
    assert _bytes(tmp_path / "broken") == _bytes(tmp_path / "whole")
    np.testing.assert_array_equal(table.score, expected.score)


def test_a_finished_job_is_not_judged_again(make_dataset, tmp_path):
    _run(make_dataset(), SpyJudge(), tmp_path / "job")
    before, judge = _bytes(tmp_path / "job"), SpyJudge()
    _run(make_dataset(), judge, tmp_path / "job")
    assert judge.requests == [] and _bytes(tmp_path / "job") == before


def test_another_job_is_moved_aside_and_said(make_dataset, tmp_path):
    _run(make_dataset(), SpyJudge(), tmp_path / "job")
    old, judge = _bytes(tmp_path / "job"), SpyJudge(revision="2")
    _, shown = _run(make_dataset(), judge, tmp_path / "job", progress=False)
    assert len(judge.requests) == 16
    assert "other judge" in shown and "starts anew" in shown
    assert _bytes(tmp_path / "job.old-1") == old


def test_other_data_or_candidates_are_another_job(make_dataset, tmp_path):
    _run(make_dataset(), SpyJudge(), tmp_path / "job")
    judge = SpyJudge()
    _, shown = _run(make_dataset(seed=5), judge, tmp_path / "job", progress=False)
    assert "other dataset" in shown and len(judge.requests) == 16
    judge, console = SpyJudge(), Console(file=io.StringIO(), width=200)
    run_job(make_dataset(seed=5), judge, CandidateConfig(2, 2, 2), tmp_path / "job", console=console)
    assert "chosen" in console.file.getvalue() and len(judge.requests) == 16


def test_a_directory_of_something_else_is_left_alone(make_dataset, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="no preference job"):
        _run(make_dataset(), SpyJudge(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_altered_shard_is_refused(make_dataset, tmp_path):
    _run(make_dataset(), SpyJudge(), tmp_path / "job")
    shard = tmp_path / "job" / "shard-000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(InputError, match="shard-000001"):
        _run(make_dataset(), SpyJudge(), tmp_path / "job")


def test_a_flipped_bit_in_a_shard_of_an_unfinished_job_is_named_and_judged_anew(make_dataset, tmp_path):
    expected, _ = _run(make_dataset(), SpyJudge(), tmp_path / "whole")
    job = tmp_path / "job"
    with pytest.raises(RuntimeError, match="taken away"):
        _run(make_dataset(), SpyJudge(calls=2), job)
    shard = job / "shard-000001.parquet"
    judged = shard.read_bytes()
    for place in range(0, len(judged), 97):  # some of these bits parquet itself does not miss
        flipped = bytearray(judged)
        flipped[place] ^= 1
        shard.write_bytes(flipped)
        with pytest.raises(InputError, match=r"shard-000001.parquet.*altered"):
            _run(make_dataset(), SpyJudge(), job)
    shard.unlink()
    judge = SpyJudge()
    table, _ = _run(make_dataset(), judge, job)
    assert {request.state for request in judge.requests} == set(range(5, 10))
    np.testing.assert_array_equal(table.score, expected.score)
    assert _bytes(job) == _bytes(tmp_path / "whole") and not list(job.glob(".shard*"))


def test_shards_of_versions_that_noted_no_hashes_are_kept(make_dataset, tmp_path):
    with pytest.raises(RuntimeError, match="taken away"):
        _run(make_dataset(), SpyJudge(calls=2), tmp_path)
    for note in tmp_path.glob(".shard-*.sha256"):
        note.unlink()
    judge = SpyJudge()
    _run(make_dataset(), judge, tmp_path)
    assert min(request.state for request in judge.requests) == 10


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: Judgement(np.zeros(1, np.float32), ["x"]),
        lambda request: Judgement(
            np.full(len(request.items), np.nan, np.float32), ["x"] * len(request.items)
        ),
        lambda request: Judgement(np.full(len(request.items), 1.5, np.float32), ["x"] * len(request.items)),
    ],
)
def test_a_judge_out_of_contract_is_named_and_nothing_is_written(make_dataset, tmp_path, answer):
    judge = SpyJudge()
    judge.judge = lambda requests: [answer(request) for request in requests]
    with pytest.raises(InputError, match="spy"):
        _run(make_dataset(), judge, tmp_path / "job")
    assert not list((tmp_path / "job").glob("shard-*"))


def test_online_users_are_judged_only_when_asked_for(make_dataset, tmp_path):
    offline, _ = _run(make_dataset(), SpyJudge(), tmp_path / "a")
    online, _ = _run(make_dataset(), SpyJudge(), tmp_path / "b", split="online")
    assert offline.users.tolist() == list(range(16)) and online.users.tolist() == list(range(16, 24))


def test_the_content_judge_ends_to_end_without_online_users(make_dataset, tmp_path):
    tables = [
        _run(data, build_judge("content", data), tmp_path / str(number))[0]
        for number, data in enumerate((make_dataset(online_seed=0), make_dataset(online_seed=1)))
    ]
    np.testing.assert_array_equal(tables[0].item, tables[1].item)
    np.testing.assert_array_equal(tables[0].score, tables[1].score)
    assert not tables[0].info.is_llm and "not come from an LLM" in tables[0].statements[0]
