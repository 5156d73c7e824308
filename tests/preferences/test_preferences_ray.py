"""The preference job on a real Ray cluster of two nodes, one of which is killed midway; a slow server answers."""

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_chat_server import Server, by_function
from ray_nodes import DOOMED, STEADY, two_nodes
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.job.job import finish_job, judge_shard, open_job
from ialp_jax.preferences.job.plan import plan_job
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.job.sharing import judge_with_ray
from ialp_jax.preferences.judges import judge_module
from ialp_jax.preferences.prompting.server_errors import KEY

CANDIDATES = CandidateConfig(similar=4, popular=3, random=2)
PAIRS = 9  # of a state
STATES = 16
LIMIT = 180  # seconds; only met if something hangs
QUIET = Console(file=io.StringIO())


@pytest.fixture
def nodes():
    """Two nodes with room for one judge each, who shows the server its node's name as its key."""
    with two_nodes(cpus=1, named=KEY) as started:
        yield started


def planned(make_dataset, folder: Path) -> Path:
    plan_job(make_dataset(), CANDIDATES, folder, console=QUIET)
    return folder


def judged_alone(folder: Path, server: Server) -> list[list[str]]:
    """Judges the job in this process; returns the users' messages of each shard."""
    module = judge_module("openai")
    judge = module.build(
        Requests.load(folder / FOLDER).context, module.Config(model="m", base_url=server.url)
    )
    job = open_job(folder, judge.info, states_per_shard=1, console=QUIET)
    asked = []
    for shard in range(job.num_shards):
        judge_shard(job, judge, shard)
        asked.append(contents_of(server.bodies)[-PAIRS:])
    assert finish_job(job) is not None
    return asked


class Holdup:
    """Delays of a server: the doomed node's judge gets no answer after its first shard, the other waits for that."""

    def __init__(self, server: Server) -> None:
        self.server, self.held, self.killed = server, threading.Event(), threading.Event()

    def __call__(self, content: str) -> float:
        """For a message just received; 0 further seconds."""
        with self.server.lock:
            senders = [headers["authorization"].removeprefix("Bearer ") for headers in self.server.headers]
            last = [sender for sender, sent in zip(senders, contents_of(self.server.bodies), strict=True)
                    if sent == content][-1]  # fmt: skip
        shards_begun = (senders.count(last) - 2) // PAIRS  # less one about nobody; 0 in the first shard
        if last == DOOMED and shards_begun > 0:
            self.held.set()
            self.killed.wait(LIMIT)
        elif last == STEADY and shards_begun > 3:
            self.held.wait(LIMIT)
        return 0.02


def contents_of(bodies) -> list[str]:
    return [body["messages"][1]["content"] for body in bodies]


def begin(nodes, job_folder: Path, server: Server) -> subprocess.Popen:
    command = [sys.executable, "-m", "ialp_jax.cli", "prefs", "judge", str(job_folder), "openai", "--model", "m",
               "--base-url", server.url, "--states-per-shard", "1", "--replicas", "2", "--engine", "ray"]  # fmt: skip
    environment = nodes.environment | {"NO_PROXY": "127.0.0.1"}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def end(driver: subprocess.Popen) -> tuple[int, str]:
    try:
        said = driver.communicate(timeout=LIMIT)[0]
    finally:
        driver.kill()
    return driver.returncode, said


def files(folder: Path) -> dict[str, bytes]:
    """Of a finished table: hidden files are what a killed process left half written."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def shards(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.parquet")}


@pytest.mark.slow
def test_a_node_killed_midway_gives_the_same_table_and_pays_for_no_finished_shard_again(
    make_dataset, server, nodes, tmp_path, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    asked = judged_alone(planned(make_dataset, tmp_path / "alone"), server)
    server.bodies.clear()
    server.headers.clear()
    server.delay = holdup = Holdup(server)

    folder = planned(make_dataset, tmp_path / "ray")
    driver = begin(nodes, folder, server)
    assert holdup.held.wait(LIMIT)
    nodes.kill(DOOMED)
    holdup.killed.set()
    before, paid = shards(folder), len(server.bodies)
    assert 1 <= len(before) < STATES
    status, said = end(driver)
    assert status == 0, said
    assert files(folder) == files(tmp_path / "alone")

    after = set(contents_of(server.bodies[paid:]))
    for shard, contents in enumerate(asked):
        if f"shard-{shard:06d}.parquet" in before:
            assert not after & set(contents), f"shard {shard} was judged again"
    assert {name: shards(folder)[name] for name in before} == before
    # The shard under way on the killed node was asked about again; no other.
    messages = contents_of(server.bodies)
    times = [sum(messages.count(content) for content in contents) for contents in asked]
    assert sorted(times)[:-1] == [PAIRS] * (STATES - 1) and PAIRS < max(times) <= 2 * PAIRS


def test_a_server_that_refuses_ends_the_job_with_what_it_said(make_dataset, server, nodes, tmp_path):
    server.rule = lambda content: (401, "no such key") if "Title" in content else by_function(content)
    status, said = end(begin(nodes, planned(make_dataset, tmp_path / "ray"), server))
    assert status == 2, said
    assert "judging under Ray failed" in said and "no such key" in said and "judged shards are kept" in said


def test_without_ray_data_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'Ray Data is not installed .* pip install "ialp-jax\[ray\]"'):
        judge_with_ray(None, "openai", None, 1, 0, None)
