"""The preference table: who was judged on what, with which score, by whom.

On disk: append-only shards `shard-000000.parquet`, each with the judgements of a contiguous range of states;
`job.json`, what was asked of whom; `manifest.json`, written last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from ialp_jax.artifacts import InputError, atomic_path, read_json, read_manifest, write_json, write_manifest
from ialp_jax.data.frames import read_frame
from ialp_jax.preferences.judges.base import JudgeInfo

KIND = "preferences"
JOB_NAME = "job.json"
MANIFEST = "manifest.json"
SHARD_PATTERN = "shard-*.parquet"
SCHEMA = pl.Schema(
    {
        "state": pl.Int32,
        "item": pl.Int32,
        "score": pl.Float32,
        "log_yes": pl.Float32,
        "log_no": pl.Float32,
        "calls": pl.Int32,
        "prompt_tokens": pl.Int32,
        "computed_tokens": pl.Int32,
        "raw": pl.String,
    }
)
"""Columns of a shard (`judges.base.Judgement`); score is null where the pair was rejected by rule, the
log-probabilities where the judge has none."""
COSTS = ("calls", "prompt_tokens", "computed_tokens")


@dataclass(frozen=True)
class PreferenceTable:
    """Judgements of P (state, item) pairs, sorted by state and item.

    Attributes:
        users: user id of each of the S states.
        state: index into `users` of each pair.
        item: item id of each pair.
        score: in [0, 1], the judge's probability that the user would like the item.
        info: who judged.
        num_items: N, size of the catalogue.
        statements: sentences a report on this table must print.
        dataset: fingerprint of the logs the users are from.
        rejected: pairs that were asked about and not judged, by rule.
        costs: calls of a language model, their prompt tokens, and how many of these were computed anew.
    """

    users: Int[np.ndarray, " S"]
    state: Int[np.ndarray, " P"]
    item: Int[np.ndarray, " P"]
    score: Float[np.ndarray, " P"]
    info: JudgeInfo
    num_items: int
    statements: tuple[str, ...]
    dataset: str = ""
    rejected: int = 0
    costs: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_states(self) -> int:
        """S, the number of states."""
        return self.users.size

    @property
    def num_judgements(self) -> int:
        """P, the number of judged pairs."""
        return self.state.size

    def dense(self) -> tuple[Float[np.ndarray, "S N"], Bool[np.ndarray, "S N"]]:
        """Scores with 0 where unjudged, and which pairs are judged."""
        scores = np.zeros((self.num_states, self.num_items), np.float32)
        judged = np.zeros(scores.shape, bool)
        scores[self.state, self.item] = self.score
        judged[self.state, self.item] = True
        return scores, judged

    def shuffled(self, seed: int) -> "PreferenceTable":
        """A control: every state gets the judgements of another, along one random cycle of all states.

        Raises:
            InputError: if there are fewer than two states.
        """
        if self.num_states < 2:
            raise InputError("a table of one state cannot be shuffled across users", fix="judge more users")
        cycle = np.random.default_rng(seed).permutation(self.num_states)
        receiver = np.empty(self.num_states, np.int32)
        receiver[cycle] = np.roll(cycle, 1)
        state = receiver[self.state]
        order = np.lexsort((self.item, state))
        statement = f"Control: every user's judgements were replaced by another user's (seed {seed})."
        return replace(self, state=state[order], item=self.item[order], score=self.score[order],
                       statements=(*self.statements, statement))  # fmt: skip

    @classmethod
    def load(cls, directory: Path) -> "PreferenceTable":
        """Reads a finished table.

        Raises:
            InputError: if it is not finished, was altered, or is not a table.
        """
        if not (directory / MANIFEST).exists() and (directory / JOB_NAME).exists():
            raise InputError("the job that writes this table has not finished", file=directory,
                             fix="run the job again; it resumes where it stopped")  # fmt: skip
        totals = read_manifest(directory, KIND).config
        job = read_json(directory / JOB_NAME)
        pairs = read_pairs(directory, job).filter(pl.col("score").is_not_null()).sort("state", "item")
        return cls(
            np.asarray(job["users"], np.int32), pairs["state"].to_numpy(), pairs["item"].to_numpy(),
            pairs["score"].to_numpy(), JudgeInfo(**job["judge"]), job["num_items"], tuple(job["statements"]),
            job["dataset"], totals["rejected"], {name: totals[name] for name in COSTS},
        )  # fmt: skip


def write_table(
    directory: Path, pairs: pl.DataFrame, job: dict[str, Any], parents: dict[str, str] | None = None
) -> None:
    """Writes judgements of any origin as a finished table of one shard, all or nothing.

    Args:
        directory: replaced if it is there.
        pairs: columns of `SCHEMA`.
        job: what `describe` gives.
        parents: fingerprints of what the table was made from, beside the dataset.
    """
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        pairs.select(list(SCHEMA)).cast(SCHEMA).write_parquet(shard_path(temporary, 0))
        write_json(temporary / JOB_NAME, job)
        config = {key: value for key, value in job.items() if key != "users"} | judged_totals(temporary)
        write_manifest(
            temporary, KIND, config, {"dataset": job["dataset"], **(parents or {})}, job["statements"]
        )


def describe(
    users: Int[np.ndarray, " S"], info: JudgeInfo, num_items: int, dataset: str, statements: Sequence[str]
) -> dict[str, Any]:
    """The part of `job.json` that a table is read back with; `dataset` is the fingerprint of the logs."""
    return {
        "judge": asdict(info),
        "num_items": num_items,
        "dataset": dataset,
        "statements": list(statements),
        "users": users.tolist(),
    }


def judged_totals(directory: Path) -> dict[str, int]:
    """Judged and rejected pairs and what they cost, over all shards."""
    pairs = pl.scan_parquet(directory / SHARD_PATTERN)
    sums = pairs.select(
        pl.col("score").count().alias("judgements"),
        pl.col("score").null_count().alias("rejected"),
        *(pl.col(name).cast(pl.Int64).sum() for name in COSTS),
    )
    return {name: int(value) for name, value in sums.collect().row(0, named=True).items()}


def shard_path(directory: Path, index: int) -> Path:
    """Where shard `index` lies."""
    return directory / f"shard-{index:06d}.parquet"


def read_pairs(directory: Path, job: dict[str, Any]) -> pl.DataFrame:
    """Every pair that was asked about, with the columns of `SCHEMA`, in the order of the shards.

    Raises:
        InputError: if a file is not such a shard, or names a state or item outside the table.
    """
    return pl.concat(
        [
            read_shard(path, job["num_items"], len(job["users"]))
            for path in sorted(directory.glob(SHARD_PATTERN))
        ]
    )


def read_shard(path: Path, num_items: int, num_states: int) -> pl.DataFrame:
    """The rows of one shard.

    Raises:
        InputError: if the file is not such a shard, or names a state or item outside the table.
    """
    frame = read_frame(path, SCHEMA, fix="delete it and run the job again").select(list(SCHEMA))
    limits = {"state": num_states, "item": num_items}
    for column, limit in limits.items():
        if not frame[column].is_between(0, limit - 1).all():
            raise InputError(f"a value is outside 0..{limit - 1}", file=path, column=column,
                             fix="delete the shard and run the job again")  # fmt: skip
    return frame
