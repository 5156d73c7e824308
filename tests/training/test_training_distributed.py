"""Two processes on this machine, joined by gloo, train what one device trains."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shared_runs import CHUNK, UPDATES, assert_same_numbers, mesh_of, numbers, trained

from ialp_jax.artifacts import InputError
from ialp_jax.training.distributed import DistributedConfig, agreed, gathered, initialise, is_primary

pytestmark = pytest.mark.usefixtures("batched_keys")
SEEDS = 3
REFERENCE = Path(__file__).parents[1] / "reference"
SOURCE = REFERENCE.parents[1] / "src"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def slurm_job():
    """A job number from which JAX makes a port that is free: 61440 + number % 4096."""
    for job in range(os.getpid() % 4096, 4096 + 4096):
        with socket.socket() as listener:
            if listener.connect_ex(("127.0.0.1", 61440 + job % 4096)):
                return job
    raise AssertionError("no port is free")


def two_processes(folder, devices, run, user, until, environments=({}, {})):
    """Runs both to their end and returns (exit codes, what they said); neither outlives this call."""
    folder.mkdir(exist_ok=True)
    port = "slurm" if "SLURM_JOB_ID" in environments[0] else str(free_port())
    tail = [str(value) for value in (devices, folder, SEEDS, run, user, until)]
    paths = os.pathsep.join([str(SOURCE), str(REFERENCE)])
    running = [
        subprocess.Popen(
            [sys.executable, str(REFERENCE / "distributed_worker.py"), port, "2", str(rank), *tail],
            env=os.environ | {"PYTHONPATH": paths} | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank, environment in enumerate(environments)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return [process.returncode for process in running], said


def found_by_both(folder, *arguments, **others):
    """Numbers of the first process, once both have ended well with the same."""
    codes, said = two_processes(folder, *arguments, **others)
    assert codes == [0, 0], "\n".join(said)
    first, second = (dict(np.load(folder / f"{rank}.npz")) for rank in (0, 1))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    return first


@pytest.fixture(scope="module")
def on_one(tmp_path_factory):
    """100 updates on one device of one process."""
    import jax

    with jax.debug_key_reuse(False):
        return numbers(trained(tmp_path_factory.mktemp("one"), None, SEEDS))


def test_two_processes_that_share_users_train_what_one_trains(on_one, tmp_path):
    assert_same_numbers(found_by_both(tmp_path, 1, 1, 2, UPDATES), on_one)


def test_two_processes_leave_a_checkpoint_for_one(on_one, tmp_path):
    """Two of two devices each, three runs on two places; then eight devices of one process go on."""
    found_by_both(tmp_path, 2, 2, 2, CHUNK)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [f"{CHUNK:010d}"]
    assert_same_numbers(numbers(trained(tmp_path / "checkpoints", mesh_of(1, 8, SEEDS), SEEDS)), on_one)


def test_one_process_leaves_a_checkpoint_for_two(on_one, tmp_path):
    """Which find each other by Slurm's environment variables."""
    trained(tmp_path / "checkpoints", mesh_of(8, 1, SEEDS), SEEDS, until=CHUNK)
    slurm = {
        "SLURM_JOB_ID": str(slurm_job()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2",
        "SLURM_LOCALID": "0",
    }  # fmt: skip
    environments = [slurm | {"SLURM_PROCID": str(rank)} for rank in (0, 1)]
    found = found_by_both(tmp_path, 1, 2, 1, UPDATES, environments=environments)
    assert_same_numbers(found, on_one)


def test_processes_that_hold_other_numbers_do_not_train(tmp_path):
    codes, said = two_processes(tmp_path, 1, 1, 2, CHUNK, ({"WORLD_SEED": "1"}, {"WORLD_SEED": "2"}))
    assert 0 not in codes
    assert all("the processes do not start from the same numbers" in text for text in said)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "localhost:1"}, "belong together"),
        ({"processes": 2, "rank": 0}, "belong together"),
        ({"coordinator": "localhost:1", "processes": 2, "rank": 0, "auto": True}, "belong together"),
        ({"coordinator": "localhost:1", "processes": 2, "rank": 2}, "no rank 2 among 2 processes"),
        ({"coordinator": "localhost:1", "processes": 2, "rank": -1}, "rank: -1 is out of range"),
    ],
    ids=str,
)
def test_half_a_description_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        DistributedConfig(**given)


def test_no_cluster_is_an_error_where_one_was_asked_for():
    done = subprocess.run(
        [sys.executable, "-c", "from ialp_jax.training.distributed import *; initialise(DistributedConfig(auto=True))"],
        env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "the processes do not come together" in done.stderr


def test_one_process_is_alone():
    initialise(DistributedConfig())
    tree = {"a": np.ones(3)}
    assert is_primary() and agreed(True) and not agreed(False) and gathered(tree)["a"] is tree["a"]
