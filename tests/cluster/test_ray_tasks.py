"""Units of work as tasks of a real Ray cluster: a node is killed, units fail, crash, or fit nowhere."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray_units
from ray_nodes import DOOMED, STEADY

from ialp_jax.artifacts import InputError
from ialp_jax.cluster import ray_tasks
from ialp_jax.installed import versions

LIMIT = 60  # seconds; only met if something hangs
UNITS = [f"unit-{number}" for number in range(8)]


def begin(nodes, directory: Path, function: str, *units: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, ray_units.__file__, str(directory), function, *units]
    return subprocess.Popen(command, env=nodes.environment | environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)  # fmt: skip


def end(driver: subprocess.Popen) -> tuple[int, list[str], str]:
    try:
        said, wrong = driver.communicate(timeout=LIMIT)
    finally:
        driver.kill()
    # Ray itself tells of lost workers and nodes on standard output.
    return driver.returncode, [line for line in said.splitlines() if line.startswith("done ")], wrong


def log(directory: Path) -> list[list[str]]:
    return [line.split() for line in ray_units.written_log(directory).splitlines()]


def await_line(directory: Path, driver: subprocess.Popen, found) -> None:
    deadline = time.monotonic() + LIMIT
    while not found(log(directory)):
        assert driver.poll() is None and time.monotonic() < deadline, driver.communicate()
        time.sleep(0.02)


def doomed_is_held(lines: list[list[str]]) -> bool:
    return sum(line[:2] == [DOOMED, "begin"] for line in lines) == 2


def written(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.glob("unit-*")}


@pytest.mark.slow
def test_a_node_killed_midway_costs_nothing_and_nothing_is_done_twice(nodes, tmp_path):
    driver = begin(nodes, tmp_path, "held_on_the_doomed", *UNITS)
    await_line(tmp_path, driver, doomed_is_held)
    nodes.kill(DOOMED)
    status, said, wrong = end(driver)
    assert status == 0, wrong
    assert sorted(said) == [f"done {unit}" for unit in UNITS]
    assert written(tmp_path) == {f"{unit}.txt": unit * 1000 for unit in UNITS}

    lines = log(tmp_path)
    begun = [line for line in lines if line[1] == "begin"]
    ended = [line[2] for line in lines if line[1] == "end"]
    lost = [line[2] for line in begun if line[0] == DOOMED][1]
    assert sorted(ended) == UNITS and sorted(line[2] for line in begun) == sorted([*UNITS, lost])
    assert [line[0] for line in begun if line[2] == lost] == [DOOMED, STEADY]
    assert not [line for line in lines if line[0] == "skip"]
    # A unit had a node's CPUs to itself, and its XLA as many threads.
    assert {line[3] for line in begun} == {"2"}
    steady = [line[1] for line in lines if line[0] == STEADY]
    assert steady == ["begin", "end"] * (len(steady) // 2)
    # Of what was written for the lost unit nothing but the half file of the killed process is left.
    assert all(path.name.startswith(f".{lost}.txt.") for path in tmp_path.glob(".*"))


def test_a_unit_that_raises_is_named_not_repeated_and_ends_the_run_after_those_at_work(kept_nodes, tmp_path):
    status, said, wrong = end(begin(kept_nodes, tmp_path, "failing", "at-work", "raises", "a", "b", "c"))
    assert status == 1 and "error: 1 of 5 units failed; raises failed:" in wrong
    assert "ZeroDivisionError: a fault of the program\nlast words of raises\n" in wrong
    assert "Fix: mend what it says" in wrong
    lines = log(tmp_path)
    assert lines.count(["begin", "raises"]) == 1 and ["end", "at-work"] in lines and "done at-work" in said
    assert len(lines) == 3  # two nodes had two units, the others were not begun
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_unit_that_always_takes_its_worker_down_ends_with_its_last_words(kept_nodes, tmp_path):
    status, _, wrong = end(begin(kept_nodes, tmp_path, "failing", "crashes"))
    times = ray_tasks.RETRIES + 1
    assert status == 1 and f"crashes failed:\nits worker or node was lost {times} times" in wrong
    assert "said by native code" in wrong and log(tmp_path) == [["begin", "crashes"]] * times


def test_what_the_user_can_mend_comes_without_a_traceback(kept_nodes, tmp_path):
    status, _, wrong = end(begin(kept_nodes, tmp_path, "failing", "refuses"))
    assert status == 1 and "refuses failed:\nthe log is empty. Fix: fill it\nlast words" in wrong
    assert "Traceback" not in wrong


def test_a_unit_that_fits_no_node_is_refused_at_once(kept_nodes, tmp_path):
    status, _, wrong = end(begin(kept_nodes, tmp_path, "failing", "a", CPUS_EACH="3"))
    assert status == 1 and "no node of the Ray cluster has 3 CPUs and 0 GPUs for a unit" in wrong
    assert log(tmp_path) == [] and list(tmp_path.iterdir()) == []


def test_a_unit_of_no_cpu_is_refused(tmp_path):
    with pytest.raises(InputError, match="0 CPUs are too few"):
        ray_tasks.run_tasks(ray_units.failing, tmp_path, ["a"], cpus_each=0, on_done=print)


def test_a_node_that_sees_another_directory_or_has_other_packages_refuses(tmp_path):
    (tmp_path / "probe").touch()
    ray_tasks._refuse_strange_node(tmp_path, "probe", versions())
    with pytest.raises(InputError, match="does not see this directory"):
        ray_tasks._refuse_strange_node(tmp_path, "another", versions())
    with pytest.raises(InputError, match="other versions than the driver of jax\\."):
        ray_tasks._refuse_strange_node(tmp_path, "probe", versions() | {"jax": "0.1"})


def test_without_ray_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'pip install "ialp-jax\[ray\]"'):
        ray_tasks.run_tasks(ray_units.failing, tmp_path, ["a"], on_done=print)
    ray_tasks.run_tasks(ray_units.failing, tmp_path, [], on_done=print)  # nothing to do
