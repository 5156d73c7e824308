"""The one form every source is turned into: users, items with text, graded interactions."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from ialp_jax.artifacts import InputError, atomic_path, fingerprint, read_manifest, write_manifest
from ialp_jax.data.frames import read_frame
from ialp_jax.data.validate import DISLIKED, validate
from ialp_jax.values import checked

KIND = "dataset"
FRAMES = ("users", "items", "interactions")
DISLIKED_NAME = "disliked.parquet"

Source = Literal["logs", "synthetic"]
Domain = Literal["games", "music", "clothes", "books", "movies", "generic"]
Feedback = Literal["implicit", "explicit"]


@dataclass(frozen=True, eq=False)
@checked
class Dataset:
    """Users, items and graded interactions of one source; checked when made.

    Attributes:
        name: the source, for example "steam".
        source: "logs" (people did this) or "synthetic" (a generator did).
        domain: what the items are; chooses the words of prompts and reports.
        feedback: "implicit" (hours, plays) or "explicit" (ratings).
        users: user Int32 (0..U-1, the row), raw_id String, split String ("offline": their logs may be read before
            deployment | "profiled": only their histories, by a judge | "online": who is met | "unused"), and where the
            source describes its users, text String.
        items: item Int32 (0..N-1, the row), raw_id String, title String, text String (attributes; may be ""),
            categories List(String).
        interactions: user Int32, item Int32, value Float64 (raw scale), grade Float32 in [0, 1], position
            Int32 (0 = oldest of the user), part String ("history" | "held_out" | "unread": of new items, which nobody has logged yet); sorted by user and position;
            at most one row per user and item.
        known_ratings: float32 [U, N] on the raw scale where the source ships every rating, else None.
        rating_range: lowest and highest rating on the raw scale; (0, 1) for implicit feedback.
        statements: how the data were combined, filtered, graded, ordered and split; reports print them.
        disliked: user Int32, item Int32: pairs without an interaction that the logs say was declined (value 0).
        cautions: what a reader must know of the logs before results are believed; terminal and page say them.

    Raises:
        InputError: if a frame breaks the rules above.
    """

    name: str
    source: Source
    domain: Domain
    feedback: Feedback
    users: pl.DataFrame = field(repr=False)
    items: pl.DataFrame = field(repr=False)
    interactions: pl.DataFrame = field(repr=False)
    known_ratings: Float[np.ndarray, "U N"] | None = field(repr=False)
    rating_range: tuple[float, float]
    statements: tuple[str, ...] = field(repr=False)
    disliked: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DISLIKED), repr=False)
    cautions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        validate(self)

    @property
    def num_users(self) -> int:
        """U."""
        return self.users.height

    @property
    def num_items(self) -> int:
        """N."""
        return self.items.height

    @property
    def num_interactions(self) -> int:
        """Rows of `interactions`."""
        return self.interactions.height

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the content, 16 hex digits; does not depend on where or by which version it was stored."""
        frames = {name: _hash_frame(getattr(self, name)) for name in FRAMES}
        matrix = (
            None if self.known_ratings is None else hashlib.sha256(self.known_ratings.tobytes()).hexdigest()
        )
        disliked = [_hash_frame(self.disliked)] if self.disliked.height else []
        return fingerprint(KIND, self._properties(), self.statements, frames, matrix, *disliked)

    def _properties(self) -> dict[str, Any]:
        names = (
            "name",
            "source",
            "domain",
            "feedback",
            "rating_range",
            *(["cautions"] if self.cautions else []),
        )
        return {name: getattr(self, name) for name in names}

    def save(self, directory: Path, parents: Mapping[str, str] | None = None) -> None:
        """Writes parquet files (`disliked` where there are any), `known_ratings.npy` where there is one, and the manifest; all
        or nothing."""
        with atomic_path(directory) as temporary:
            temporary.mkdir()
            for name in FRAMES:
                getattr(self, name).write_parquet(temporary / f"{name}.parquet")
            if self.disliked.height:
                self.disliked.write_parquet(temporary / DISLIKED_NAME)
            if self.known_ratings is not None:
                np.save(temporary / "known_ratings.npy", self.known_ratings, allow_pickle=False)
            config = {**self._properties(), "content": self.fingerprint}
            write_manifest(temporary, KIND, config, parents, list(self.statements))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: naming the file that is missing, altered, or not a dataset's.
        """
        manifest = read_manifest(directory, KIND)
        frames: dict[str, Any] = {name: read_frame(directory / f"{name}.parquet") for name in FRAMES}
        matrix_name = "known_ratings.npy"
        stored = matrix_name in manifest.files
        matrix = np.load(directory / matrix_name, allow_pickle=False) if stored else None
        if DISLIKED_NAME in manifest.files:
            frames["disliked"] = read_frame(directory / DISLIKED_NAME)
        properties = {key: value for key, value in manifest.config.items() if key != "content"}
        for name in {"rating_range", "cautions"} & properties.keys():
            properties[name] = tuple(properties[name])
        return cls(**properties, **frames, known_ratings=matrix, statements=tuple(manifest.statements))


def histories(
    dataset: Dataset, length: int
) -> tuple[Int[np.ndarray, "U L"], Float[np.ndarray, "U L"], Int[np.ndarray, " U"]]:
    """What is known of every user at the start of a session.

    Args:
        dataset: the data.
        length: L, at least 1.

    Returns:
        items int32 [U, L]: the latest L items of the user's "history" part, most recent last, filled on the
            left with N (= `dataset.num_items`); grades float32 [U, L], 0 where filled; lengths int32 [U] in
            0..L.
    """
    if length < 1:
        raise InputError(f"the history length is {length}", column="length", fix="give 1 or more")
    latest = (
        dataset.interactions.filter(pl.col("part") == "history")
        .with_columns(age=pl.col("position").max().over("user") - pl.col("position"))
        .filter(pl.col("age") < length)
    )
    users, columns = latest["user"].to_numpy(), length - 1 - latest["age"].to_numpy()
    items = np.full((dataset.num_users, length), dataset.num_items, np.int32)
    grades = np.zeros((dataset.num_users, length), np.float32)
    items[users, columns] = latest["item"].to_numpy()
    grades[users, columns] = latest["grade"].to_numpy()
    return items, grades, np.bincount(users, minlength=dataset.num_users).astype(np.int32)


def _hash_frame(frame: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for column in frame:
        digest.update(f"{column.name}:{column.dtype};".encode())
        if column.dtype.is_numeric():
            digest.update(column.to_numpy().tobytes())
        else:
            digest.update(fingerprint(column.to_list()).encode())
    return digest.hexdigest()


def offline_users(dataset: Dataset) -> Int[np.ndarray, " U"]:
    """The users whose logs may be read before deployment, ascending.

    Raises:
        InputError: if there is none.
    """
    users = dataset.users.filter(pl.col("split") == "offline")["user"].to_numpy()
    if not users.size:
        raise InputError("there are no logs of offline users, which this run needs", column="data.logged_users",
                         fix="let some logs be read, or choose methods and options that read none")  # fmt: skip
    return users


def offline_interactions(dataset: Dataset) -> pl.DataFrame:
    """The logs of `offline_users`, without what is unread."""
    theirs = pl.col("user").is_in(offline_users(dataset).tolist())
    return dataset.interactions.filter(theirs & (pl.col("part") != "unread"))


def offline_declined(dataset: Dataset) -> pl.DataFrame:
    """What `offline_users` declined of items that are not new."""
    new = dataset.interactions.filter(pl.col("part") == "unread")["item"].unique()
    theirs = pl.col("user").is_in(offline_users(dataset).tolist())
    return dataset.disliked.filter(theirs & ~pl.col("item").is_in(new.to_list()))


def offline_popularity(dataset: Dataset) -> Float[np.ndarray, "N"]:
    """Interactions of each item in the offline users' logs."""
    seen = offline_interactions(dataset)["item"].to_numpy()
    return np.bincount(seen, minlength=dataset.num_items).astype(np.float32)


def without_logs(dataset: Dataset, users: Int[np.ndarray, " M"]) -> Dataset:
    """The dataset in which the logs of these offline users may not be read; a judge still knows their histories."""
    withheld = pl.col("user").is_in(users.tolist()) & (pl.col("split") == "offline")
    split = pl.when(withheld).then(pl.lit("profiled")).otherwise(pl.col("split")).alias("split")
    return replace(dataset, users=dataset.users.with_columns(split))
