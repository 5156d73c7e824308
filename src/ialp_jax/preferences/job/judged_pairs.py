"""The judged pairs of a table beside what the logs know of them."""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.artifacts import read_json
from ialp_jax.data.dataset import Dataset, offline_interactions
from ialp_jax.preferences.judges import build_judge
from ialp_jax.preferences.judges.base import JudgeRequest
from ialp_jax.preferences.table import JOB_NAME, read_pairs

STATES_AT_ONCE = 256


def asked_pairs(directory: Path) -> pl.DataFrame:
    """Every pair of a finished table, rejected ones too, by state in the order asked.

    Columns of `table.SCHEMA`, and user Int32, position (0 = asked first of its state; in list mode the mean place
    in its prompts), mass Float64 (label mass in [0, 1]; null where the judge has none).
    """
    job = read_json(directory / JOB_NAME)
    users = pl.Series(job["users"], dtype=pl.Int32)
    pairs = read_pairs(directory, job).sort("state", maintain_order=True)
    in_lists = job["judge"]["settings"].get("mode") == "list"
    return pairs.with_columns(
        user=users.gather(pairs["state"]),
        position=_mean_place() if in_lists else pl.int_range(pl.len()).over("state"),
        mass=pl.col("log_yes").cast(pl.Float64).exp() + pl.col("log_no").cast(pl.Float64).exp(),
    )


def _mean_place() -> pl.Expr:
    """Mean place of an item in the prompts of list mode, from its raw answers (`listwise.judgement`)."""
    answers = pl.when(pl.col("score").is_not_null()).then(pl.col("raw"))
    places = answers.str.json_decode(pl.List(pl.Struct({"place": pl.Int64})))
    return places.list.eval(pl.element().struct.field("place")).list.mean()


def judged_pairs(directory: Path, dataset: Dataset) -> pl.DataFrame:
    """The pairs that got a score, as `per_state` reads them, by state in the order asked.

    Columns of `asked_pairs`, and popularity (how many *other* offline users met the item), grade Float64 of
    the user's held-out interaction with it (0 without one) and relevant (whether there is one).
    """
    met = offline_interactions(dataset)
    held_out = dataset.interactions.filter(pl.col("part") == "held_out")
    pairs = asked_pairs(directory).filter(pl.col("score").is_not_null())
    return (
        pairs.join(met.group_by("item").agg(met=pl.len()), on="item", how="left")
        .join(met.select("user", "item", own=1), on=["user", "item"], how="left")
        .join(held_out.select("user", "item", "grade"), on=["user", "item"], how="left")
        .with_columns(
            popularity=pl.col("met").cast(pl.Int64).fill_null(0) - pl.col("own").fill_null(0),
            grade=pl.col("grade").cast(pl.Float64).fill_null(0.0),
            relevant=pl.col("grade").is_not_null(),
        )
        .drop("met", "own")
        .sort("state", "position")
    )


def content_scores(dataset: Dataset, pairs: pl.DataFrame) -> Float[np.ndarray, " P"]:
    """What the content judge, fitted to the dataset's offline users, says of these pairs, in their order."""
    judge = build_judge("content", dataset)
    requests = _requests(dataset, pairs)
    blocks = [requests[start : start + STATES_AT_ONCE] for start in range(0, len(requests), STATES_AT_ONCE)]
    return np.concatenate([judgement.scores for block in blocks for judgement in judge.judge(block)])


def _requests(dataset: Dataset, pairs: pl.DataFrame) -> list[JudgeRequest]:
    known = dataset.interactions.filter(pl.col("part") == "history")
    histories = {
        user: (tuple(items), tuple(grades))
        for user, items, grades in known.group_by("user").agg("item", "grade").iter_rows()
    }
    asked = pairs.group_by("state", maintain_order=True).agg(pl.col("user").first(), "item")
    return [
        JudgeRequest(state, user, "", *histories.get(user, ((), ())), tuple(items), ())
        for state, user, items in asked.iter_rows()
    ]
