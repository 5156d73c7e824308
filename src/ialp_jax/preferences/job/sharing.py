"""Several engines on one job: processes of this machine, or actors of a Ray cluster. They share files only."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ialp_jax.artifacts import InputError
from ialp_jax.cluster.ray_tasks import INSTALL, connected
from ialp_jax.preferences.job.job import Job, judge_shard, open_job
from ialp_jax.preferences.job.progress import JobProgress
from ialp_jax.preferences.judges import judge_module
from ialp_jax.preferences.table import read_shard, shard_path

POLL_SECONDS = 0.5
PARENT = "IALP_PARENT"  # environment variable: the process that started this one
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
LAST_LINES = 12  # of what a failed process said


def judge_with_processes(
    job: Job, command: Sequence[str], count: int, gpus_each: int, progress: JobProgress
) -> None:
    """Runs `command` `count` times side by side, each with its own range of states and its own GPUs.

    Args:
        job: open, so that the processes need not agree on who begins.
        command: of one process, less `--rank` and `--world`.
        count: number of processes.
        gpus_each: GPUs of one process.
        progress: counts the shards as they appear.

    Raises:
        InputError: if a process failed, with the last it said; the others are let finish, their shards stay.
    """
    with tempfile.TemporaryDirectory(prefix="ialp-judges-") as folder:
        logs = [Path(folder) / f"{rank}.log" for rank in range(count)]
        environments = [
            os.environ | {PARENT: str(os.getpid())} | visible_gpus(rank, gpus_each) for rank in range(count)
        ]
        processes: list[subprocess.Popen] = []
        try:
            for rank, (log, environment) in enumerate(zip(logs, environments, strict=True)):
                ranked = [*command, "--rank", str(rank), "--world", str(count)]
                with open(log, "wb") as stream:
                    processes.append(subprocess.Popen(ranked, stdout=stream, stderr=stream, env=environment))
            _watch(job, processes, progress)
        finally:
            for process in processes:
                process.terminate()
                process.wait()
        failed = [rank for rank, process in enumerate(processes) if process.returncode != 0]
        if failed:
            said = logs[failed[0]].read_text("utf-8", errors="replace").splitlines()[-LAST_LINES:]
            raise InputError(f"{len(failed)} of {count} judging processes failed; number {failed[0]} ended with status "
                             f"{processes[failed[0]].returncode}:\n" + "\n".join(said) + "\n",
                             fix="mend what it says and run the same command again; judged shards are kept")  # fmt: skip


def end_with_parent() -> None:
    """Called by a process that `judge_with_processes` started: Linux ends it when its parent dies.

    So no engine goes on beside the next ones. Elsewhere, and in any other process, it does nothing.
    """
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before this was asked for
        sys.exit(1)


def gpus() -> list[str]:
    """The GPUs this process may use, by the numbers CUDA knows them by; none on a machine without."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if seen is not None:
        return [device for device in seen.split(",") if device]
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def visible_gpus(rank: int, count: int) -> dict[str, str]:
    """Environment that shows process `rank` its own `count` GPUs of those this process sees; empty without any."""
    devices = gpus()
    own = devices[rank * count : (rank + 1) * count]
    if devices and len(own) < count:
        raise InputError(f"process {rank} would need GPUs {rank * count} to {(rank + 1) * count - 1} of {len(devices)}",
                         column="replicas", fix=f"use at most {len(devices) // count} replicas")  # fmt: skip
    return {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {}


def judge_with_ray(
    job: Job, judge: str, settings: Any, count: int, gpus_each: int, progress: JobProgress
) -> None:
    """Judges the missing shards with `count` Ray actors, on as many nodes as they need.

    All nodes must see the job's directory. The cluster is that of RAY_ADDRESS, else one on this machine, else one
    started for the call. A shard whose actor dies is given to another by Ray Data; nothing is done twice, because
    a shard that exists is not judged again.

    Raises:
        InputError: if Ray is not installed or not there, or an actor failed other than by its death: the job ends
            at once then, finished shards stay.
    """
    try:
        import ray.data as ray_data
    except ImportError as error:  # also where Ray is, without what its data part needs
        raise InputError(f"Ray Data is not installed here ({error})", column="engine", fix=INSTALL) from error
    missing = job.missing(range(job.num_shards))
    with connected() as ray:
        # One progress display is enough, and Ray's would be drawn over it.
        ray_data.DataContext.get_current().enable_progress_bars = False
        with_gpus = ray.cluster_resources().get("GPU", 0) > 0  # the driver's own machine may have none
        shards = ray_data.from_items(
            [{"shard": shard} for shard in missing], override_num_blocks=len(missing)
        )
        worker = {"directory": job.directory.resolve(), "judge": judge, "settings": settings,
                  "states_per_shard": job.states_per_shard}  # fmt: skip
        judged = shards.map_batches(
            _RayWorker,
            fn_constructor_kwargs=worker,
            batch_size=1,
            concurrency=count,
            num_cpus=1,
            num_gpus=gpus_each if with_gpus else None,
        )
        try:
            for row in judged.iter_rows():
                progress.judged(_read(job, int(row["shard"])))
        except ray.exceptions.RayError as error:
            said = "\n".join(str(error).splitlines()[-LAST_LINES:])
            raise InputError(f"judging under Ray failed:\n{said}\n",
                             fix="mend what it says and run the same command again; judged shards are kept") from error  # fmt: skip


class _RayWorker:
    """An actor with an engine of its own."""

    def __init__(self, directory: Path, judge: str, settings: Any, states_per_shard: int) -> None:
        from ialp_jax.preferences.job.requests import FOLDER, Requests

        context = Requests.load(directory / FOLDER).context
        self._judge = judge_module(judge).build(context, settings)
        self._job = open_job(directory, self._judge.info, states_per_shard=states_per_shard, sharing=True)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for shard in self._job.missing([int(shard) for shard in batch["shard"]]):
            judge_shard(self._job, self._judge, shard)
        return batch


def _watch(job: Job, processes: Sequence[subprocess.Popen], progress: JobProgress) -> None:
    """Counts shards as they appear, until all processes have ended."""
    waiting = job.missing(range(job.num_shards))
    running = True
    while running:
        running = any(process.poll() is None for process in processes)
        for shard in [shard for shard in waiting if shard_path(job.directory, shard).exists()]:
            progress.judged(_read(job, shard))
            waiting.remove(shard)
        time.sleep(POLL_SECONDS if running else 0)


def _read(job: Job, shard: int) -> Any:
    return read_shard(shard_path(job.directory, shard), job.requests.num_items, job.requests.num_states)


def this_command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs `ialp` with these arguments in this environment."""
    return [sys.executable, "-m", "ialp_jax.cli", *arguments]
