"""A job shared by several processes: who judges what, with which GPUs, and what a failure says."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_preferences_job import CANDIDATES, SpyJudge

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job import Job, finish_job, judge_shard, open_job
from ialp_jax.preferences.job_progress import JobProgress
from ialp_jax.preferences.judges import JudgeContext, judge_module
from ialp_jax.preferences.plan import plan_job
from ialp_jax.preferences.requests import Requests
from ialp_jax.preferences.sharing import gpus, judge_with_processes, visible_gpus

QUIET = Console(file=io.StringIO())


@pytest.fixture
def job(make_dataset, tmp_path) -> Job:
    plan_job(make_dataset(), CANDIDATES, tmp_path / "job", console=QUIET)
    return open_job(tmp_path / "job", SpyJudge().info, states_per_shard=3, console=QUIET)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 9))
def test_parts_are_ranges_that_make_the_whole(states, states_per_shard, world):
    class Sized(Requests):
        num_states = states

    whole = Job(None, object.__new__(Sized), {}, states_per_shard)
    parts = [list(whole.part(rank, world)) for rank in range(world)]
    assert [shard for part in parts for shard in part] == list(range(whole.num_shards))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [state for shard in range(whole.num_shards) for state in whole.states_of(shard)] == list(
        range(states)
    )


def test_parts_judged_apart_finish_with_the_last(job):
    judge = SpyJudge()
    for shard in job.part(1, 2):
        judge_shard(job, judge, shard)
    assert finish_job(job) is None and job.missing(range(job.num_shards)) == list(job.part(0, 2))
    other = open_job(job.directory, judge.info, states_per_shard=3, sharing=True, console=QUIET)
    for shard in other.part(0, 2):
        judge_shard(other, judge, shard)
    assert finish_job(other).num_judgements == job.pairs_in(range(job.num_shards)) == 16 * 9
    with pytest.raises(InputError, match="rank 2 of 2"):
        job.part(2, 2)


def test_who_shares_a_folder_moves_nothing_aside(job):
    judge_shard(job, SpyJudge(), 0)
    with pytest.raises(InputError, match=r"another job lies here \(other judge \(revision\)\)"):
        open_job(job.directory, SpyJudge(revision="2").info, states_per_shard=3, sharing=True)
    assert (job.directory / "shard-000000.parquet").exists()


def test_without_requests_or_with_odd_shards_the_error_says_what_to_do(job, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_job(tmp_path / "nowhere", SpyJudge().info)
    with pytest.raises(InputError, match="states_per_shard"):
        open_job(job.directory, SpyJudge().info, states_per_shard=0)


def test_requests_of_other_prompts_are_refused(job, monkeypatch):
    monkeypatch.setattr("ialp_jax.preferences.requests.template_hash", lambda *_: "another")
    with pytest.raises(InputError, match="other prompts than this version's"):
        open_job(job.directory, SpyJudge().info)


def test_every_process_sees_its_own_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    assert [visible_gpus(rank, 2)["CUDA_VISIBLE_DEVICES"] for rank in range(2)] == ["3,5", "6,7"]
    with pytest.raises(InputError, match="use at most 2 replicas"):
        visible_gpus(2, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == [] and visible_gpus(3, 1) == {}


def test_a_process_that_fails_is_heard_and_the_shards_of_the_others_stay(job):
    script = (
        "import sys; from pathlib import Path\n"
        "rank = int(sys.argv[sys.argv.index('--rank') + 1])\n"
        "if rank == 1: print('the GPU fell off the bus'); sys.exit(7)\n"
    )
    judge_shard(job, SpyJudge(), 0)
    heard = r"1 of 2 judging processes failed; number 1 ended with status 7:\nthe GPU fell"
    with pytest.raises(InputError, match=heard), JobProgress("judging", 10, QUIET) as progress:
        judge_with_processes(job, [sys.executable, "-c", script], 2, 1, progress)
    assert (job.directory / "shard-000000.parquet").exists()


def test_without_vllm_the_error_says_where_it_is(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    config = judge_module("vllm").Config(model=str(tmp_path))
    with pytest.raises(InputError, match="run make vllm-env"):
        judge_module("vllm").build(JudgeContext("games", "implicit"), config)
