"""A sweep on a real Ray cluster of two nodes, one of which is killed while it trains."""

import os
import time

import pytest
from ray_nodes import DOOMED, two_nodes
from sweep_jobs import LIMIT, begin

pytestmark = pytest.mark.slow


def units(out, file):
    """Names of the units that have left a file."""
    return {path.parents[len(file.split("/")) - 1].name for path in out.glob(f"units/*/{file}")}


def test_a_killed_node_costs_no_run_and_repeats_none(tmp_path):
    """Killed when both nodes are in the middle of a unit; compared, byte for byte, with a sweep in one process."""
    out, one_core = tmp_path / "shared", {"NPROC": "1"}  # as the nodes have it
    long = {"online.updates": 60}  # units that take seconds
    with two_nodes(cpus=1) as nodes:
        process = begin(
            tmp_path, "shared", "--engine", "ray", environment=nodes.environment | one_core, **long
        )
        deadline = time.monotonic() + LIMIT
        while len(units(out, "checkpoints/0*") - units(out, "result.json")) < 2:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.002)
        finished = {
            name: (out / "units" / name / "result.json").stat().st_mtime_ns
            for name in units(out, "result.json")
        }
        nodes.kill(DOOMED)
        said = process.communicate(timeout=LIMIT)[0]
        assert process.returncode == 0, said
    for name, written in finished.items():
        assert (out / "units" / name / "result.json").stat().st_mtime_ns == written, name
    process = begin(tmp_path, "alone", environment=os.environ | one_core, **long)
    said = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 0, said
    stored = [(tmp_path / name / "results.parquet").read_bytes() for name in ("shared", "alone")]
    assert stored[0] == stored[1]
