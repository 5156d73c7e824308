"""The rules a Dataset keeps, in one place."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ialp_jax.artifacts import InputError

if TYPE_CHECKING:
    from ialp_jax.data.dataset import Dataset

SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "users": {"user": pl.Int32(), "raw_id": pl.String(), "split": pl.String()},
    "items": {
        "item": pl.Int32(),
        "raw_id": pl.String(),
        "title": pl.String(),
        "text": pl.String(),
        "categories": pl.List(pl.String()),
    },
    "interactions": {
        "user": pl.Int32(),
        "item": pl.Int32(),
        "value": pl.Float64(),
        "grade": pl.Float32(),
        "position": pl.Int32(),
        "part": pl.String(),
    },
}
OPTIONAL = {"users": {"text": pl.String()}}


def validate(dataset: "Dataset") -> None:
    """Raises `InputError` naming the frame and column of the first rule of `Dataset` that is broken."""
    for name in SCHEMAS:
        _validate_schema(name, getattr(dataset, name))
    users, items, interactions = dataset.users, dataset.items, dataset.interactions
    _require(_is_range(users["user"]), "users", "user", "is not 0, 1, 2, ... in row order")
    _require(_is_range(items["item"]), "items", "item", "is not 0, 1, 2, ... in row order")
    for name, frame in (("users", users), ("items", items)):
        _require(frame["raw_id"].is_unique().all(), name, "raw_id", "names something twice")
    _require(
        users["split"].is_in(["offline", "profiled", "online", "unused"]).all(),
        "users",
        "split",
        "is not offline, profiled, online or unused",
    )
    _validate_interactions(interactions, users.height, items.height)
    _validate_ratings(dataset)


def _validate_schema(name: str, frame: pl.DataFrame) -> None:
    expected = SCHEMAS[name]
    for column, dtype in (expected | OPTIONAL.get(name, {})).items():
        if column not in frame.columns:
            _require(column not in expected, name, column, "is missing")
            continue
        found = frame.schema[column]
        _require(found == dtype, name, column, f"is {found}, not {dtype}")
        _require(frame[column].null_count() == 0, name, column, "has missing values")
    unknown = sorted(set(frame.columns) - set(expected) - set(OPTIONAL.get(name, {})))
    _require(not unknown, name, ", ".join(unknown), "is not part of a dataset")


def _validate_interactions(interactions: pl.DataFrame, num_users: int, num_items: int) -> None:
    name = "interactions"
    for column, size in (("user", num_users), ("item", num_items)):
        _require(
            interactions[column].is_between(0, size - 1).all(), name, column, f"is outside 0..{size - 1}"
        )
    _require(interactions["value"].is_finite().all(), name, "value", "is not finite")
    _require(interactions["grade"].is_between(0, 1).all(), name, "grade", "is outside [0, 1]")
    _require(
        interactions["part"].is_in(["history", "held_out"]).all(), name, "part", "is not history or held_out"
    )
    unique = not interactions.select("user", "item").is_duplicated().any()
    _require(unique, name, "item", "has the same user and item twice")
    counted = interactions.select(same=pl.col("position") == pl.int_range(pl.len()).over("user"))[
        "same"
    ].all()
    ordered = interactions["user"].is_sorted() and counted
    _require(ordered, name, "position", "is not 0, 1, 2, ... within each user, sorted by user")


def _validate_ratings(dataset: "Dataset") -> None:
    low, high = dataset.rating_range
    _require(low < high, "dataset", "rating_range", f"is ({low}, {high}), lowest not below highest")
    if dataset.feedback == "explicit":
        inside = dataset.interactions["value"].is_between(low, high).all()
        _require(inside, "interactions", "value", f"is outside the rating range {low}..{high}")
    ratings = dataset.known_ratings
    if ratings is None:
        return
    shape = (dataset.num_users, dataset.num_items)
    right = ratings.shape == shape and ratings.dtype == np.float32
    found = f"{ratings.dtype} {list(ratings.shape)}"
    _require(right, "dataset", "known_ratings", f"is {found}, not float32 {list(shape)}")
    inside = bool(((ratings >= low) & (ratings <= high)).all())
    _require(inside, "dataset", "known_ratings", f"has values outside the rating range {low}..{high}")


def _is_range(column: pl.Series) -> bool:
    return np.array_equal(column.to_numpy(), np.arange(len(column)))


def _require(condition: bool, frame: str, column: str, problem: str) -> None:
    if not condition:
        raise InputError(f"in {frame}, the column {problem}", column=column, fix="make the dataset again")
