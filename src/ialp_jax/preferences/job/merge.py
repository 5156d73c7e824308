"""Makes one table of several: parts of one job, or tables of one judge about other users or items."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int

from ialp_jax.artifacts import InputError, atomic_path, read_json, read_manifest
from ialp_jax.preferences.job.directory import difference
from ialp_jax.preferences.job.hashes import require_as_judged
from ialp_jax.preferences.job.job import Job, finish_job
from ialp_jax.preferences.job.merge_requests import merged_requests
from ialp_jax.preferences.job.requests import FOLDER, Requests
from ialp_jax.preferences.judges.base import JudgeInfo
from ialp_jax.preferences.table import (
    COSTS,
    JOB_NAME,
    KIND,
    MANIFEST,
    SCHEMA,
    SHARD_PATTERN,
    PreferenceTable,
    describe,
    read_pairs,
    read_shard,
    write_table,
)

SAME_SCORE = 1e-5
IDENTITY = ("judge", "dataset", "num_items", "split", "attributes_length")
"""Entries of `job.json` that tables must share to be united."""


def merge_tables(sources: Sequence[Path], out: Path) -> PreferenceTable:
    """Merges job directories into a new one, all or nothing.

    Parts of one job (equal fingerprints in `job.json`), judged on machines that share no disk, give the bytes of
    the job judged in one place; together they must hold every shard. Finished tables of one judge and one set of
    logs give the union of their pairs: a pair judged twice keeps its first score, and costs add up.

    Args:
        sources: two or more directories.
        out: must not exist, or be empty.

    Raises:
        InputError: if `out` is taken, a source is not a job, shards are missing or differ, tables are not of the
            same judge and logs, or a pair was judged twice with scores more than `SAME_SCORE` apart.
    """
    if len(sources) < 2:
        raise InputError(f"{len(sources)} folder cannot be merged", column="sources", fix="name two or more")
    if len({source.resolve() for source in sources}) < len(sources):
        raise InputError("a folder is named twice", column="sources", fix="name each once: costs add up")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("it is not empty", file=out, column="out", fix="name a new folder")
    jobs = [read_json(source / JOB_NAME) for source in sources]
    marks = {job.get("fingerprint") for job in jobs}
    if len(marks) == 1 and None not in marks:
        _join_parts(sources, jobs[0], out)
    else:
        _unite_tables(sources, jobs, out)
    return PreferenceTable.load(out)


def _join_parts(sources: Sequence[Path], record: dict[str, Any], out: Path) -> None:
    requests = Requests.load(sources[0] / FOLDER)
    if requests.fingerprint() != record["requests"]:
        raise InputError("its job.json belongs to other requests", file=sources[0] / FOLDER,
                         fix="copy the whole folder again from the machine that judged it")  # fmt: skip
    with atomic_path(out) as temporary:
        shutil.copytree(sources[0] / FOLDER, temporary / FOLDER)
        shutil.copyfile(sources[0] / JOB_NAME, temporary / JOB_NAME)
        origins: dict[str, Path] = {}
        for source in sources:
            if (source / MANIFEST).exists():
                read_manifest(source, KIND)
            for shard in sorted(source.glob(SHARD_PATTERN)):
                _copy_shard(shard, temporary / shard.name, origins, record)
        job = Job(temporary, requests, record, record["states_per_shard"])
        missing = job.missing(range(job.num_shards))
        if missing:
            raise InputError(
                f"{len(missing)} of {job.num_shards} shards are in none of the folders; the first is {missing[0]} "
                f"(states {job.states_of(missing[0]).start} and on)",
                file=out, fix="name all folders of the job, or judge the rest first (ialp prefs judge)",
            )  # fmt: skip
        finish_job(job)


def _copy_shard(shard: Path, target: Path, origins: dict[str, Path], record: dict[str, Any]) -> None:
    """Copies a shard, or compares it with the one that is there; `origins` remembers where each came from."""
    if target.exists():
        if target.read_bytes() != shard.read_bytes():
            raise InputError(f"it differs from {origins[shard.name]}, which judges the same states of the same job",
                             file=shard, fix="delete the one you do not trust and merge again")  # fmt: skip
        return
    require_as_judged([shard])
    read_shard(shard, record["num_items"], len(record["users"]))
    shutil.copyfile(shard, target)
    origins[shard.name] = shard


def _unite_tables(sources: Sequence[Path], jobs: Sequence[dict[str, Any]], out: Path) -> None:
    for source in sources:
        PreferenceTable.load(source)  # finished, and as it was written
    for source, job in zip(sources[1:], jobs[1:], strict=True):
        _check_same(sources[0], jobs[0], source, job)
    users = np.unique(np.concatenate([job["users"] for job in jobs])).astype(np.int32)
    asked = [_by_user(source, job, users) for source, job in zip(sources, jobs, strict=True)]
    pairs = _unite_pairs(pl.concat(asked), users, sources)
    statements = list(dict.fromkeys(sentence for job in jobs for sentence in job["statements"]))
    first = jobs[0]
    described = describe(users, JudgeInfo(**first["judge"]), first["num_items"], first["dataset"], statements)
    described |= {name: first[name] for name in IDENTITY if name in first and name not in described}
    parents = {f"{KIND} {number}": read_manifest(source, KIND).fingerprint
               for number, source in enumerate(sources, start=1)}  # fmt: skip
    requests = merged_requests(sources)
    with atomic_path(out) as temporary:
        write_table(temporary, pairs, described, parents)
        if requests is not None:
            requests.save(temporary / FOLDER)


def _check_same(a: Path, one: dict[str, Any], b: Path, other: dict[str, Any]) -> None:
    identities = [
        {name: job.get(name) for name in IDENTITY} | {"judge": {**job["judge"], "statement": ""}}
        for job in (one, other)
    ]
    if identities[0] != identities[1]:
        raise InputError(f"it cannot be merged with {a}: {difference(*identities)}", file=b,
                         fix="merge tables of one judge with one setting, about the same logs")  # fmt: skip


def _by_user(source: Path, job: dict[str, Any], users: Int[np.ndarray, " S"]) -> pl.DataFrame:
    """The pairs of a table, each with its state among `users` and the table it is from."""
    pairs = read_pairs(source, job)
    state = np.searchsorted(users, np.asarray(job["users"])[pairs["state"].to_numpy()])
    return pairs.with_columns(state=pl.Series(state, dtype=pl.Int32), source=pl.lit(str(source)))


def _unite_pairs(asked: pl.DataFrame, users: Int[np.ndarray, " S"], sources: Sequence[Path]) -> pl.DataFrame:
    """One row per pair: the first with a score (else the first), with the costs of all."""
    by = ["state", "item"]
    # A pair that one table rejected and another judged is judged.
    ordered = asked.with_row_index("row").with_columns(rejected=pl.col("score").is_null())
    kept = [pl.col(name).sort_by("rejected", "row").first() for name in SCHEMA if name not in (*by, *COSTS)]
    sums = [pl.col(name).sum() for name in COSTS]
    spread = (pl.col("score").max() - pl.col("score").min()).alias("spread")
    united = ordered.group_by(by, maintain_order=True).agg(*kept, *sums, spread)
    conflict = united.filter(pl.col("spread") > SAME_SCORE)
    if conflict.height:
        _refuse_conflict(asked, conflict.row(0, named=True), conflict.height, users)
    return united.sort("state", maintain_order=True).select(list(SCHEMA))


def _refuse_conflict(
    asked: pl.DataFrame, pair: dict[str, Any], count: int, users: Int[np.ndarray, " S"]
) -> None:
    rows = asked.filter((pl.col("state") == pair["state"]) & (pl.col("item") == pair["item"]))
    told = ", ".join(f"{score:g} in {source}" for score, source in rows.select("score", "source").iter_rows()
                     if score is not None)  # fmt: skip
    raise InputError(f"{count} pairs were judged twice with different scores; the first is user "
                     f"{users[pair['state']]} and item {pair['item']}: {told}", column="score",
                     fix="find out which table is right, and merge without the other")  # fmt: skip
