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
DISLIKED: dict[str, pl.DataType] = {"user": pl.Int32(), "item": pl.Int32()}
OPTIONAL = {"users": {"text": pl.String()}}


def validate(dataset: "Dataset") -> None:
    """Raises `InputError` naming the frame and column of the first rule of `Dataset` that is broken."""
    require_scale(dataset.rating_range)
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
    _validate_disliked(dataset.disliked, interactions, users.height, items.height)
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
    _validate_pairs(interactions, name, num_users, num_items)
    _require(interactions["value"].is_finite().all(), name, "value", "is not finite")
    _require(interactions["grade"].is_between(0, 1).all(), name, "grade", "is outside [0, 1]")
    _require(
        interactions["part"].is_in(["history", "held_out", "unread"]).all(),
        name,
        "part",
        "is not history, held_out or unread",
    )
    counted = interactions.select(same=pl.col("position") == pl.int_range(pl.len()).over("user"))[
        "same"
    ].all()
    ordered = interactions["user"].is_sorted() and counted
    _require(ordered, name, "position", "is not 0, 1, 2, ... within each user, sorted by user")


def _validate_pairs(frame: pl.DataFrame, name: str, num_users: int, num_items: int) -> None:
    for column, size in (("user", num_users), ("item", num_items)):
        _require(frame[column].is_between(0, size - 1).all(), name, column, f"is outside 0..{size - 1}")
    unique = not frame.select("user", "item").is_duplicated().any()
    _require(unique, name, "item", "has the same user and item twice")


def _validate_disliked(
    disliked: pl.DataFrame, interactions: pl.DataFrame, num_users: int, num_items: int
) -> None:
    name = "disliked"
    _require(dict(disliked.schema) == DISLIKED, name, "user, item", f"are not {DISLIKED}")
    _validate_pairs(disliked, name, num_users, num_items)
    met = disliked.join(interactions, on=["user", "item"], how="semi").height
    _require(not met, name, "item", "is among the user's interactions")


def _validate_ratings(dataset: "Dataset") -> None:
    low, high = dataset.rating_range
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


def require_scale(rating_range: tuple[float, float]) -> None:
    """Raises `InputError` for a scale that is empty, or whose top is not above 0: rewards are ratings divided by it."""
    low, high = rating_range
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"the scale is ({low:g}, {high:g})", column="rating_range", fix="give the lowest and the highest rating")  # fmt: skip
    if high <= 0:
        raise InputError(f"the highest rating is {high:g}, and rewards are ratings divided by it", column="rating_range",
                         fix=f"add a number to all ratings so that the highest is above 0, for example {1 - low:g}")  # fmt: skip


def _is_range(column: pl.Series) -> bool:
    return np.array_equal(column.to_numpy(), np.arange(len(column)))


def _require(condition: bool, frame: str, column: str, problem: str) -> None:
    if not condition:
        raise InputError(f"in {frame}, the column {problem}", column=column, fix="make the dataset again")
