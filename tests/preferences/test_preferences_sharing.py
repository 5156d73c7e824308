"""A job shared by several processes: who judges what, with which GPUs, and what a failure says."""

import io
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_preferences_job import CANDIDATES, SpyJudge

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.job.job import Job, finish_job, judge_shard, open_job
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.job.progress import JobProgress
from ialp_jax.preferences.job.requests import Requests
from ialp_jax.preferences.job.sharing import gpus, judge_with_processes, visible_gpus
from ialp_jax.preferences.judges import JudgeContext, judge_module

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
    monkeypatch.setattr("ialp_jax.preferences.job.requests.template_hash", lambda *_: "another")
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


def test_what_a_killed_rank_left_half_written_is_no_part_of_the_table(job):
    leftover = job.directory / ".shard-000002.parquet.x1y2z3w4.unfinished"
    leftover.mkdir()
    (leftover / "shard-000002.parquet").write_bytes(b"half")
    shared = open_job(job.directory, SpyJudge().info, states_per_shard=3, sharing=True, console=QUIET)
    assert leftover.exists()  # it might be another's, at work
    for shard in range(shared.num_shards):
        judge_shard(shared, SpyJudge(), shard)
    assert finish_job(shared) is not None
    again = open_job(job.directory, SpyJudge().info, states_per_shard=3, console=QUIET)
    assert not leftover.exists() and finish_job(again) is not None


def test_too_few_gpus_are_noticed_before_any_process_starts(job, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    script = f"open({str(tmp_path / 'started')!r}, 'w')"
    with pytest.raises(InputError, match="at most 1 replicas"), JobProgress("judging", 10, QUIET) as progress:
        judge_with_processes(job, [sys.executable, "-c", script], 2, 1, progress)
    time.sleep(0.3)
    assert not (tmp_path / "started").exists()


def test_processes_end_with_the_one_that_started_them(tmp_path):
    child = (
        "import os, time\nfrom ialp_jax.preferences.job.sharing import end_with_parent\nend_with_parent()\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys, time\nfrom ialp_jax.preferences.job.sharing import PARENT\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], env=os.environ | {{PARENT: str(os.getpid())}})\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    pid = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_user_whose_history_is_the_whole_catalogue_is_not_asked_about(make_dataset, tmp_path):
    dataset = make_dataset(num_users=6, num_items=8)
    requests = plan_job(dataset, CANDIDATES, tmp_path / "job", console=QUIET)
    assert requests.num_states == 4 and (requests.pairs() > 0).all()
    everything = dataset.interactions.with_columns(
        part=pl.when(pl.col("user") == 0).then(pl.lit("history")).otherwise("part")
    )
    requests = plan_job(
        replace(dataset, interactions=everything), CANDIDATES, tmp_path / "other", console=QUIET
    )
    assert requests.states["user"].to_list() == [1, 2, 3] and (requests.pairs() > 0).all()
