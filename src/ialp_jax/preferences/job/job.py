"""The batch job: asks a judge about every candidate of every state, shard by shard; it can be resumed.

A job's directory holds its requests (`requests/`, written by `plan.py`), `job.json` (who judges what), one
`shard-000000.parquet` per range of states, and a manifest, written last. Several processes may judge the
shards of one directory: they share nothing but these files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from rich.console import Console

from ialp_jax.artifacts import (
    InputError,
    atomic_path,
    fingerprint,
    plain,
    read_json,
    write_json,
    write_manifest,
    writing,
)
from ialp_jax.data.dataset import Dataset
from ialp_jax.durable import remove_leftovers
from ialp_jax.preferences.job.directory import difference, set_aside
from ialp_jax.preferences.job.hashes import forget_hashes, note_hash, require_as_judged
from ialp_jax.preferences.job.progress import JobProgress
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.job.shards import shard_frame
from ialp_jax.preferences.judges.base import Judge, JudgeInfo
from ialp_jax.preferences.table import (
    JOB_NAME,
    KIND,
    MANIFEST,
    PreferenceTable,
    describe,
    judged_totals,
    shard_path,
)

if TYPE_CHECKING:
    from ialp_jax.preferences.candidates import CandidateConfig

STATES_PER_SHARD = 16
"""A shard is what a kill can cost: some thousand pairs."""


@dataclass(frozen=True, eq=False)
class Job:
    """A planned job with its judge.

    Attributes:
        directory: where it lies.
        requests: what is asked.
        record: what `job.json` holds; its fingerprint decides whether shards may be kept.
        states_per_shard: states judged between two writes.
    """

    directory: Path
    requests: Requests = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    states_per_shard: int

    @property
    def num_shards(self) -> int:
        """Number of shards, finished or not."""
        return -(-self.requests.num_states // self.states_per_shard)

    def states_of(self, shard: int) -> range:
        """States judged in a shard."""
        start = shard * self.states_per_shard
        return range(start, min(start + self.states_per_shard, self.requests.num_states))

    def part(self, rank: int, world: int) -> range:
        """Shards of one of `world` processes that share the job: a contiguous range of states."""
        if not 0 <= rank < world:
            raise InputError(f"rank {rank} of {world} processes does not exist", column="rank",
                             fix=f"give a rank from 0 to {world - 1}")  # fmt: skip
        return range(rank * self.num_shards // world, (rank + 1) * self.num_shards // world)

    def pairs_in(self, shards: Sequence[int]) -> int:
        """Pairs to judge in these shards."""
        counts = self.requests.pairs()
        return sum(int(counts[self.states_of(shard)].sum()) for shard in shards)

    def missing(self, shards: Sequence[int]) -> list[int]:
        """Of these shards, those not yet judged."""
        return [shard for shard in shards if not shard_path(self.directory, shard).exists()]


def open_job(
    directory: Path, info: JudgeInfo, *, states_per_shard: int = STATES_PER_SHARD, sharing: bool = False,
    console: Console | None = None,
) -> Job:  # fmt: skip
    """Reads the requests in a directory and leaves it ready for this judge.

    Shards of the same job are kept. Those of another judge are moved aside with a message, and the job
    starts anew.

    Args:
        directory: the job's, planned before.
        info: who judges.
        states_per_shard: states judged between two writes; at least 1.
        sharing: other processes work in the directory: nothing may be moved or removed.
        console: where messages go; standard error if None.

    Raises:
        InputError: if there are no requests, or (with `sharing`) another job's shards.
    """
    console = Console(stderr=True) if console is None else console
    if states_per_shard < 1:
        raise InputError(
            f"a shard of {states_per_shard} states is none", column="states_per_shard", fix="give 1 or more"
        )
    requests = Requests.load(directory / FOLDER)
    record = _record(requests, info, states_per_shard)
    path = directory / JOB_NAME
    found = read_json(path) if path.exists() else None
    if found is not None and found.get("fingerprint") != record["fingerprint"]:
        if sharing:
            raise InputError(f"another job lies here ({difference(found, record)})", file=directory,
                             fix="start it with one process first, or name another directory")  # fmt: skip
        set_aside(directory, difference(found, record), console)
        requests.save(directory / FOLDER)
    if not sharing:
        with writing(directory):
            remove_leftovers(directory)
    if not path.exists():
        write_json(path, record)
    return Job(directory, requests, record, states_per_shard)


def judge_shard(job: Job, judge: Judge, shard: int) -> pl.DataFrame:
    """Judges one shard, writes it and returns its rows.

    Raises:
        InputError: if the judge answers out of contract; nothing is written then.
    """
    asked = [job.requests.make(state) for state in job.states_of(shard)]
    frame = shard_frame(asked, judge.judge(asked), judge.info.name)
    path = shard_path(job.directory, shard)
    with atomic_path(path) as temporary:
        frame.write_parquet(temporary)
        note_hash(path, temporary)
    return frame


def judge_shards(job: Job, judge: Judge, shards: Sequence[int], progress: JobProgress) -> None:
    """Judges shards one after the other, in this process."""
    for shard in shards:
        progress.judged(judge_shard(job, judge, shard))


def finish_job(job: Job) -> PreferenceTable | None:
    """Writes the manifest once every shard is there and returns the table; None if some are missing.

    Raises:
        InputError: if a shard was altered after it was judged.
    """
    if job.missing(range(job.num_shards)):
        return None
    if not (job.directory / MANIFEST).exists():
        require_as_judged(shard_path(job.directory, shard) for shard in range(job.num_shards))
        config = {key: value for key, value in job.record.items() if key != "users"}
        write_manifest(job.directory, KIND, config | judged_totals(job.directory), {"dataset": job.record["dataset"]},
                       job.record["statements"])  # fmt: skip
    with writing(job.directory):
        forget_hashes(job.directory)
    return PreferenceTable.load(job.directory)


def run_job(
    dataset: Dataset,
    judge: Judge,
    candidates: "CandidateConfig",
    directory: Path,
    *,
    states_per_shard: int = 256,
    split: Literal["offline", "online"] = "offline",
    progress: bool = True,
    console: Console | None = None,
) -> PreferenceTable:
    """Plans and judges in one go, with a judge that lives in this process; the table is also left in `directory`.

    Every finished shard is kept: after an interruption the same call judges only what is missing, and ends
    with the same bytes. A directory with another job (other judge, prompts, data or candidates) is moved
    aside, with a message, and the job starts anew.

    Args:
        dataset: users and items.
        judge: who judges.
        candidates: which items each state is judged on.
        directory: where the shards go.
        states_per_shard: states judged between two writes.
        split: whose states; only offline users' states may feed pre-training.
        progress: whether to draw a progress bar with pairs/s and time left.
        console: where messages go; standard error if None.

    Raises:
        InputError: if the directory holds something that is not a job, or the judge answers out of contract.
    """
    # Planning needs scikit-learn; who only judges planned requests does without.
    from ialp_jax.preferences.job.plan import plan_job

    console = Console(stderr=True) if console is None else console
    plan_job(dataset, candidates, directory, split=split, console=console)
    job = open_job(directory, judge.info, states_per_shard=states_per_shard, console=console)
    missing = job.missing(range(job.num_shards))
    with JobProgress(f"judging ({judge.info.name})", job.pairs_in(missing), console, shown=progress) as bar:
        judge_shards(job, judge, missing, bar)
    table = finish_job(job)
    assert table is not None
    return table


def _record(requests: Requests, info: JudgeInfo, states_per_shard: int) -> dict[str, Any]:
    """What `job.json` holds."""
    asked = {"requests": requests.fingerprint(), **requests.source, "states_per_shard": states_per_shard}
    statements = (info.statement, *requests.statements)
    table = describe(
        requests.states["user"].to_numpy(), info, requests.num_items, requests.source["dataset"], statements
    )
    return plain({"fingerprint": fingerprint(KIND, asked, table), **asked, **table})
