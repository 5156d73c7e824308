"""A whole study on several devices and in several processes: the same numbers, and one process that writes."""

import json
import os
import socket
import subprocess
import sys

import pytest
from rich.console import Console
from tiny_study import TINY

from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.methods.base import Budget
from ialp_jax.serving.stream import Stream
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.run import Study
from ialp_jax.training.mesh import MeshConfig

SETTINGS = [  # the least that trains
    word
    for line in (
        "--methods a2c a_ialp_ft --seeds 2 --policy.embedding 4 --policy.hidden 4 --evaluation.sessions 8 --loop.chunk 2",
        "--pretrain.users 8 --pretrain.rollout 4 --pretrain.updates 4 --pretrain.pool 4 --online.users 8",
        "--online.rollout 4 --online.updates 8 --online.pool 4 --online.bins 4",
    )
    for word in line.split()
]


def studies(place, out, *more):
    """Runs one `ialp train` for each list of further arguments, all at once; returns what each said."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "ialp_jax.cli", "train", "tiny.py", "--out", out, *SETTINGS, *arguments],
            cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(place / "compiled"), "COLUMNS": "200"},
        )
        for arguments in more
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=600) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert [process.returncode for process in running] == [0] * len(running), said
    return [out for out, _ in said]


@pytest.mark.slow
def test_two_processes_make_one_study(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    studies(tmp_path, "alone", [])
    joined = [
        "--mesh.user",
        "2",
        "--distributed.coordinator",
        f"127.0.0.1:{port}",
        "--distributed.processes",
        "2",
    ]
    first, second = studies(tmp_path, "both", *([*joined, "--distributed.rank", rank] for rank in "01"))
    assert "2 runs on 1 x 2 devices (run x user)" in first and "report.html" in first
    assert [line for line in second.splitlines() if not line.startswith("[Gloo]")] == []
    files = [sorted(path.name for path in (tmp_path / out).iterdir()) for out in ("alone", "both")]
    assert files[0] == files[1]
    for name, method in results(tmp_path / "alone").items():
        other = results(tmp_path / "both")[name]
        assert other["departures"] == method["departures"]
        for metric, values in method["per_seed"].items():
            assert other["per_seed"][metric] == pytest.approx(values, rel=1e-4, abs=1e-4), metric


def results(folder):
    return json.loads((folder / "results.json").read_text())["methods"]


def test_users_that_do_not_divide_are_refused_before_any_work(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    name, environment = environments.get(str(tmp_path / "tiny.py"))
    out = tmp_path / "out"
    study = Study(name, environment, None, StudyConfig(), out, False, mesh=MeshConfig(user=3))
    with pytest.raises(InputError, match="64 users cannot be divided among 3 devices"):
        study.run(Console(quiet=True))
    assert not out.exists()


def test_a_stage_that_serves_nobody_lies_on_the_devices_that_share_the_users(tmp_path):
    """66 users can be divided among three devices; the 64 of a stream that no stage has are nobody's."""
    name, environment = environments.get("synthetic")
    config = StudyConfig(methods=("bc",), online=Stream(users=66, pool=66))
    study = Study(name, environment, None, config, tmp_path, False, mesh=MeshConfig(run=1, user=3))
    assert study.layout(Budget.NONE) == study.layout(Budget.ONLINE)
