"""Independent units of work as tasks of a Ray cluster. Units and driver share the files of one directory only.

Where a unit runs, and where it runs again when its machine is lost, is Ray's business. Here is decided what one
unit may use, that no more units are handed out than the nodes can run at once, and what a failure says.

A worker process runs one unit after the other, so what a process caches is kept; a unit with GPUs gets a process
of its own, because Ray gives GPUs back by ending it. Workers have the environment of their node's Ray, not the
driver's: XLA_FLAGS and the like belong where `ray start` is called.
"""

import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ialp_jax.artifacts import InputError
from ialp_jax.installed import versions

RETRIES = 4  # of a unit whose worker or node was lost; one that always takes its worker down must end
POLL_SECONDS = 0.5  # after which it is asked what the nodes can run now
LAST_LINES = 40  # of what a failed unit said; Python tells of a crash in some 25, after its cause
INSTALL = 'pip install "ialp-jax[ray]" (beside vLLM: make vllm-env RAY=1), or use --engine local'
MENDED = "mend what it says and run the same command again; finished units are kept"


def run_tasks(
    function: Callable[[Path, str], None],
    directory: Path,
    units: Sequence[str],
    *,
    cpus_each: float | None = None,
    gpus_each: float = 0,
    on_done: Callable[[str], None],
    address: str | None = None,
) -> None:
    """Runs `function(directory, unit)` for every unit, each as one Ray task, and returns when all have ended.

    A unit whose worker or node is lost is run again elsewhere, `RETRIES` times at most. A unit that raises is not
    run again: no further units are begun, those at work are let finish, then the error is raised.

    Args:
        function: of an importable module; writes the unit's files atomically under `directory` and does nothing
            if they are there, so that a unit that ended just before its node was lost is not done twice.
        directory: exists, and is the same directory on every node.
        units: distinct names, of letters that a file's name may have.
        cpus_each: CPUs that Ray sets aside for a unit, which also bound the threads of its XLA: no node runs more
            than fits. None means all of the smallest node that can run a unit: nodes alike run one unit each, with
            all their cores.
        gpus_each: GPUs of a unit, which alone it sees.
        on_done: called in this process as each unit ends well.
        address: of the cluster; by default that of RAY_ADDRESS, else of a cluster on this machine, else of one
            started for the call.

    Raises:
        InputError: if Ray is not installed or not there, no node can run a unit, a node does not see `directory`
            or has other packages, or a unit failed.
    """
    if cpus_each is not None and cpus_each <= 0:
        raise InputError(
            f"{cpus_each:g} CPUs are too few for a unit", column="cpus_each", fix="give more than 0"
        )
    if not units:
        return
    with connected(address) as ray, _probe(directory) as probe:
        cpus = smallest_node(ray, gpus_each) if cpus_each is None else cpus_each
        task = ray.remote(_run_unit).options(
            num_cpus=cpus, num_gpus=gpus_each, max_retries=RETRIES, runtime_env=_bounded(cpus)
        )
        waiting, failures = deque(units), list[str]()
        running: dict[Any, str] = {}
        try:
            while running or (waiting and not failures):
                room = 0 if failures else places(ray, cpus, gpus_each) - len(running)
                for unit in [waiting.popleft() for _ in range(min(room, len(waiting)))]:
                    running[task.remote(function, directory.resolve(), unit, probe, versions())] = unit
                for reference in ray.wait(list(running), timeout=POLL_SECONDS)[0]:
                    unit = running.pop(reference)
                    if (said := _failure(ray, reference, directory, unit)) is None:
                        on_done(unit)
                    else:
                        failures.append(f"{unit} failed:\n{said}\n")
        finally:
            for reference in running:  # after an error here, or Ctrl-C
                ray.cancel(reference, force=True)
    if failures:
        raise InputError(f"{len(failures)} of {len(units)} units failed; {failures[0]}", fix=MENDED)


@contextmanager
def connected(address: str | None = None) -> Iterator[ModuleType]:
    """Yields Ray, connected; a connection that was there is used and kept, one made here is closed.

    What workers print stays in Ray's logs: the driver's terminal belongs to its progress display.
    Only of a lost worker or node does Ray itself print a notice, on standard output.

    Raises:
        InputError: if Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise InputError("Ray is not installed here", column="engine", fix=INSTALL) from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise InputError(f"no Ray cluster answers: {error}", column="RAY_ADDRESS",
                         fix="give the address that `ray start --head` printed") from error  # fmt: skip
    try:
        yield ray
    finally:
        ray.shutdown()


def places(ray: ModuleType, cpus_each: float, gpus_each: float) -> int:
    """How many units the living nodes can run at once, at least 1.

    Raises:
        InputError: if none of them can run one; Ray would wait for ever.
    """
    wanted = [(name, each) for name, each in (("CPU", cpus_each), ("GPU", gpus_each)) if each]
    found = sum(int(min(node.get(name, 0) // each for name, each in wanted)) for node in _nodes(ray))
    if not found:
        raise InputError(f"no node of the Ray cluster has {cpus_each:g} CPUs and {gpus_each:g} GPUs for a unit",
                         fix="start nodes that have them and run the same command again, or ask for less")  # fmt: skip
    return found


def smallest_node(ray: ModuleType, gpus_each: float) -> float:
    """CPUs of the smallest living node that has any, and GPUs enough for a unit; 1 where there is none."""
    return min(
        (node["CPU"] for node in _nodes(ray) if node.get("CPU") and node.get("GPU", 0) >= gpus_each),
        default=1,
    )


def _nodes(ray: ModuleType) -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _bounded(cpus: float) -> dict[str, Any]:
    """Environment of a unit's process: XLA makes as many threads as NPROC says, or as the machine has cores."""
    return {"env_vars": {"NPROC": str(max(1, int(cpus)))}}


@contextmanager
def _probe(directory: Path) -> Iterator[str]:
    """Name of a file in the directory, while the units run: who sees it sees this very directory."""
    probe = directory / f".ray-{secrets.token_hex(8)}"
    probe.touch()
    try:
        yield probe.name
    finally:
        probe.unlink(missing_ok=True)


def _run_unit(
    function: Callable[[Path, str], None], directory: Path, unit: str, probe: str, expected: dict[str, str]
) -> str | None:
    """Runs in a worker; returns what is wrong if the user can mend it. Other errors are Ray's to carry over."""
    try:
        _refuse_strange_node(directory, probe, expected)
        with _output_to(_log_path(directory, unit)):
            function(directory, unit)
    except InputError as error:
        return str(error)
    _log_path(directory, unit).unlink(missing_ok=True)
    return None


def _refuse_strange_node(directory: Path, probe: str, expected: dict[str, str]) -> None:
    node = os.uname().nodename
    if not (directory / probe).exists():
        raise InputError(f"the node {node} does not see this directory, or another of its name", file=directory,
                         fix="use a directory that all nodes share")  # fmt: skip
    if differing := sorted(name for name, version in versions().items() if expected.get(name) != version):
        raise InputError(f"the node {node} has other versions than the driver of {', '.join(differing)}",
                         fix="install the same packages on all nodes")  # fmt: skip


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Sends what this process prints, native code included, to a file: a crash leaves its last words there."""
    kept = [os.dup(1), os.dup(2)]
    with open(path, "wb") as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _log_path(directory: Path, unit: str) -> Path:
    return directory / f".{unit}.log"


def _failure(ray: ModuleType, reference: Any, directory: Path, unit: str) -> str | None:
    """What went wrong with a unit that has ended, with the last it printed; None if nothing did."""
    try:
        said = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        said = "\n".join(str(error).splitlines()[-LAST_LINES:])
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
        said = f"its worker or node was lost {RETRIES + 1} times: {error}"
    except ray.exceptions.RayError as error:
        said = str(error)
    if said is None:
        return None
    log = _log_path(directory, unit)
    printed = log.read_text("utf-8", errors="replace").splitlines()[-LAST_LINES:] if log.exists() else []
    log.unlink(missing_ok=True)
    return "\n".join([said, *printed])
