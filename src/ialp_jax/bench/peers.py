"""Other people's ways of doing the same work, run by their own program in the middle of ours."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ialp_jax.artifacts import InputError
from ialp_jax.bench.results import Results

# What a peer does -> our workloads that do the same: on one device, and on all of this machine's.
SAME_WORK = {
    "environment": ("environment", "environment_devices"),
    "training": ("a2c", "a2c_devices"),
    "a2c": ("a2c", "a2c_devices"),
}


@dataclass(frozen=True)
class Ratio:
    """A peer beside this project, in steps per second.

    Attributes:
        peer, users, items, settings: what was measured.
        theirs: the peer's median.
        ours: ours on one device at the same number of users; None where it was not measured.
        best: ours at the best number of users and devices.
    """

    peer: str
    users: int
    items: int
    settings: str
    theirs: float
    ours: float | None
    best: float | None


def check_program(program: Path) -> None:
    """Before any work.

    Raises:
        InputError: if the program is not there.
    """
    if not program.is_file():
        raise InputError("there is no such program", file=program, column="--peers",
                         fix="run from a clone of the repository, or name its experiments/peers/run.py")  # fmt: skip


def run_peers(program: Path, quick: bool = False) -> list[dict[str, Any]]:
    """Runs the peers' program and returns the best setting of each peer.

    Raises:
        InputError: if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peers.json"
        command = [sys.executable, str(program), "--out", str(out), *(["--quick"] if quick else [])]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode or not out.is_file():
            last = (finished.stderr or finished.stdout).strip().splitlines()[-1:]
            raise InputError(f"the peers' program failed ({' '.join(last)})", file=program, column="--peers",
                             fix="install what it needs: pip install -e '.[peers]'")  # fmt: skip
        return read_peers(out.read_text())


def read_peers(text: str) -> list[dict[str, Any]]:
    """The measurements a ratio should be taken against: those marked as the best of their peer, or all."""
    found = json.loads(text)
    rows = found["rows"] if isinstance(found, dict) else found
    return [row for row in rows if row.get("best", True)]


@dataclass
class Peers:
    """What a run of the peers' program came to.

    Attributes:
        rows: the best setting of each peer.
        failure: why there are none; raised once our own measurements are kept.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    failure: InputError | None = None


def halfway(program: Path, into: Peers, quick: bool) -> Callable[[], None]:
    """A step for the middle of a run: notes the peers' measurements, or why there are none."""

    def measure() -> None:
        try:
            into.rows = run_peers(program, quick)
        except InputError as failure:
            into.failure = failure

    return measure


def ratios(results: Results) -> list[Ratio]:
    """Every peer beside our same work at the same catalogue."""
    rows = []
    for peer in results.peers:
        same = [
            point for point in results.points
            if point.workload in SAME_WORK.get(peer["what"], ()) and point.items == peer["items"]
        ]  # fmt: skip
        one_device = SAME_WORK[peer["what"]][:1] if same else ()
        at = [point.steps_per_s.median for point in same
              if point.users == peer["users"] and point.workload in one_device]  # fmt: skip
        best = max((point.steps_per_s.median for point in same), default=None)
        settings = ", ".join(f"{name} {value}" for name, value in peer.get("settings", {}).items())
        rows.append(Ratio(peer["peer"], peer["users"], peer["items"], settings, float(peer["steps_per_s"]),
                          at[0] if at else None, best))  # fmt: skip
    return rows
