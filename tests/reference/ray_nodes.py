"""A real Ray cluster of two nodes on loopback, each with its own processes, address and name; one can be killed."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNITS = Path(__file__).parents[1] / "cluster"  # modules that workers import
NODE = "IALP_TEST_NODE"  # environment variable of every process of a node: its name
MARK = "IALP_TEST_MARK"  # the same, with a word that no other cluster has
LIMIT = 40  # seconds; only met if something hangs
STEADY, DOOMED = "steady", "doomed"


class Nodes:
    """The head, `STEADY`, and the other, `DOOMED`, each of `cpus` CPUs; `named` holds its name in its processes.

    Attributes:
        environment: with which a driver finds the cluster, and its nodes each other.
    """

    def __init__(self, folder: Path, cpus: int, named: str) -> None:
        self._folder, self._cpus, self._named = folder, cpus, named
        self._mark = secrets.token_hex(6)
        self._started: list[subprocess.Popen] = []
        paths = [str(UNITS), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        # A token of its own: other users of the machine stay out, and the user's own token is not looked at.
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONWARNINGS": "default",
        }  # fmt: skip

    def start(self) -> None:
        """Starts both and waits until each is part of the cluster."""
        address_file = self._folder / "ray_current_cluster"
        self._start(STEADY, "127.0.0.2", "--head", "--port=0", f"--temp-dir={self._folder}",
                    "--include-dashboard=false")  # fmt: skip
        self._await(lambda: address_file.exists() and address_file.read_text() != "")
        self.environment["RAY_ADDRESS"] = address_file.read_text().strip()
        self._start(DOOMED, "127.0.0.3", f"--address={self.environment['RAY_ADDRESS']}")
        self._await(lambda: "Ray runtime started" in (self._folder / f"{DOOMED}.out").read_text())

    def kill(self, name: str = "") -> None:
        """SIGKILL to every process of `DOOMED`, as when its machine loses power; of both nodes by default."""
        deadline = time.monotonic() + LIMIT
        while found := self._processes(name):  # again for those born meanwhile
            for process in found:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            assert time.monotonic() < deadline, f"processes do not die: {found}"
            time.sleep(0.02)
        for started in self._started[1:] if name == DOOMED else self._started:
            started.wait(LIMIT)

    def _start(self, name: str, ip: str, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats",
                   f"--node-ip-address={ip}", f"--num-cpus={self._cpus}", "--num-gpus=0",
                   "--object-store-memory=100000000", "--dashboard-agent-listen-port=0", *arguments]  # fmt: skip
        environment = self.environment | {
            self._named: name, MARK: f"{name}-{self._mark}",
            "RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3",  # a death is noticed in 2 s
        }  # fmt: skip
        with open(self._folder / f"{name}.out", "wb") as log:
            self._started.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            )

    def _await(self, ready) -> None:
        deadline = time.monotonic() + LIMIT
        while not ready():
            said = "\n".join(path.read_text() for path in self._folder.glob("*.out"))
            assert all(node.poll() is None for node in self._started) and time.monotonic() < deadline, said
            time.sleep(0.05)

    def _processes(self, name: str) -> list[int]:
        """Of this cluster only, found by their environment: workers are not children of `ray start`."""
        wanted = f"{MARK}={name}".encode()
        return [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            for entry in _environment(folder)
            if entry.startswith(wanted) and entry.endswith(f"-{self._mark}".encode())
        ]


@contextmanager
def two_nodes(cpus: int, named: str = NODE) -> Iterator[Nodes]:
    """Two nodes; nothing of them is left behind, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets' paths may have 107 letters
    nodes = Nodes(folder, cpus, named)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it ended, or is another user's
        return []
