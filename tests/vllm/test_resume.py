"""A job through the command line: killed, gone on with, shared out; its files are the same bytes every time."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from asked import PLAIN, make_requests

from ialp_jax.preferences.table import PreferenceTable

LIMIT = 240  # seconds; only met if something hangs
SHARDS = 20


def begin(job: Path, model: Path, *more: str) -> subprocess.Popen:
    settings = [
        "--dtype",
        "float32",
        "--max-model-len",
        "1024",
        "--kv-cache-gib",
        "0.1",
        "--states-per-shard",
        "2",
    ]
    command = [
        sys.executable,
        "-m",
        "ialp_jax.cli",
        "prefs",
        "judge",
        str(job),
        "vllm",
        "--model",
        str(model),
    ]
    return subprocess.Popen(
        [*command, *settings, *more], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def end(process: subprocess.Popen) -> tuple[int, str]:
    said = process.communicate(timeout=LIMIT)[0]
    return process.returncode, said


def plan(folder: Path) -> Path:
    make_requests(PLAIN * 4, states=2 * SHARDS).save(folder / "requests")
    return folder


def contents(job: Path) -> dict[str, bytes]:
    """Every file but the lock, which says who held it."""
    return {
        str(path.relative_to(job)): path.read_bytes() for path in sorted(job.rglob("[!.]*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, qwen) -> Path:
    job = plan(tmp_path_factory.mktemp("whole"))
    status, said = end(begin(job, qwen))
    assert status == 0, said
    assert "TEST DOUBLE" in said and "computed per pair" in said
    return job


def test_killed_and_gone_on_with_gives_the_same_bytes(whole, qwen, tmp_path):
    job = plan(tmp_path)
    process = begin(job, qwen)
    deadline = time.monotonic() + LIMIT
    while not (job / "shard-000002.parquet").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert end(process)[0] == -signal.SIGKILL
    left = list(job.glob("shard-*"))
    assert 3 <= len(left) < SHARDS and not (job / "manifest.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in left}
    status, said = end(begin(job, qwen))
    assert status == 0, said
    assert {name: (job / name).stat().st_mtime_ns for name in before} == before  # not judged again
    assert contents(job) == contents(whole)


def test_two_engines_that_share_a_job_give_the_same_bytes(whole, qwen, tmp_path):
    job = plan(tmp_path)
    status, said = end(begin(job, qwen, "--replicas", "2"))
    assert status == 0, said
    assert contents(job) == contents(whole)


def test_a_finished_job_starts_no_engine(whole, qwen):
    before, started = contents(whole), time.monotonic()
    status, said = end(begin(whole, qwen))
    assert (
        status == 0 and contents(whole) == before and "pairs of 40 states judged" in said.replace("\n", " ")
    )
    assert time.monotonic() - started < 60
    table = PreferenceTable.load(whole)
    assert table.num_judgements == 2 * SHARDS * len(PLAIN) * 4 and table.info.test_double
    assert table.costs["calls"] == table.num_judgements and np.isfinite(table.score).all()


def test_ray_actors_give_the_same_bytes(whole, qwen, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is an optional extra: install ray[data] into .venv-vllm")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    job = plan(tmp_path)
    status, said = end(begin(job, qwen, "--engine", "ray"))
    assert status == 0, said
    assert contents(job) == contents(whole)
