"""Coat (Schnabel et al., 2016): ratings from 1 to 5, with the complete matrix that public simulators use."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig, RawLogs, build
from ialp_jax.data.dataset import Dataset
from ialp_jax.data.reading import ROW, read_matrix, read_text

LOW, HIGH = 1.0, 5.0


def load(directory: Path, config: DataConfig) -> Dataset:
    """Reads a folder with `train.ascii`, `coat_pseudoGT_ratingM.ascii`, and item and user features with maps.

    Interactions = the self-selected ratings of `train.ascii` (0 = none); known_ratings = the
    pseudo-ground-truth matrix. Items have no titles: they are named by their attribute words and a number
    from 1. No k-core is taken unless the configuration asks for one.

    Raises:
        InputError: naming file, row and column of what cannot be used, or matrices whose shapes differ.
    """
    ratings_file, ratings, known = _matrices(directory)
    num_users, num_items = ratings.shape
    rated_users, rated_items = np.nonzero(ratings)
    return build(
        RawLogs(
            name="coat",
            source="logs",
            domain="clothes",
            feedback="explicit",
            rating_range=(LOW, HIGH),
            unit="ratings",
            file=ratings_file,
            interactions=pl.DataFrame(
                {
                    "user": pl.Series(rated_users + 1).cast(pl.String),
                    "item": pl.Series(rated_items + 1).cast(pl.String),
                    "value": ratings[rated_users, rated_items],
                    ROW: pl.Series(rated_users + 1).cast(pl.Int64),
                }
            ),
            items=_items(directory, num_items),
            users=_users(directory, num_users),
            known_ratings=known,
            statements=(
                "Real logs: ratings of coats by people who chose what to rate.",
                "The complete rating matrix is a published factorisation of unbiased ratings, not observed.",
            ),
            default_k=1,
        ),
        config,
    )


def _matrices(directory: Path) -> tuple[Path, Float[np.ndarray, "U N"], Float[np.ndarray, "U N"]]:
    """The file of ratings, the ratings (0 = none), and the complete matrix; both 1 to 5 otherwise."""
    ratings_file = directory / "train.ascii"
    ratings = read_matrix(ratings_file, low=0, high=HIGH)
    between = np.argwhere((ratings > 0) & (ratings < LOW))
    if len(between):
        row, column = between[0] + 1
        value = f"{ratings[row - 1, column - 1]:g}"
        raise InputError(f"{value} is not a rating from 1 to 5", file=ratings_file, row=int(row),
                         column=str(column), fix="write 0 where there is no rating")  # fmt: skip
    known_file = directory / "coat_pseudoGT_ratingM.ascii"
    known = read_matrix(known_file, low=LOW, high=HIGH)
    if known.shape != ratings.shape:
        raise InputError(f"the matrix is {known.shape}, that of {ratings_file.name} {ratings.shape}",
                         file=known_file, fix="give both for the same users and items")  # fmt: skip
    return ratings_file, ratings, known


def _items(directory: Path, count: int) -> pl.DataFrame:
    words = _features(directory, "item", count, _item_word)
    if len(words[0]) < 2:
        raise InputError("coats are named by two groups of features", file=directory / "item_features_map.txt",
                         fix="name features such as gender:men and jackettype:parkas")  # fmt: skip
    titles = [f"{row[0]} {row[1]} #{number}" for number, row in enumerate(words, 1)]
    return pl.DataFrame(
        {
            "raw_id": [str(number) for number in range(1, count + 1)],
            "title": titles,
            "text": [", ".join([f"{row[0]} {row[1]}", *row[2:]]) for row in words],
            "categories": pl.Series([[row[1]] for row in words], dtype=pl.List(pl.String)),
        }
    )


def _users(directory: Path, count: int) -> pl.DataFrame:
    words = _features(directory, "user", count, _user_word)
    numbers = [str(number) for number in range(1, count + 1)]
    return pl.DataFrame({"raw_id": numbers, "text": [", ".join(row) for row in words]})


def _item_word(group: str, value: str) -> str:
    match group, value:
        case "gender", _:
            return f"{value}'s"
        case "jackettype", "other":
            return "other jacket"
        case "color", "other":
            return "other colour"
        case "onfrontpage", _:
            return "on front page" if value == "yes" else "not on front page"
    return value


def _user_word(group: str, value: str) -> str:
    match group:
        case "age":
            return f"age {value}"
        case "fashioninterest":
            return f"{value} interested in fashion"
    return value


def _features(directory: Path, what: str, count: int, word: Callable[[str, str], str]) -> list[list[str]]:
    """Per row of `<what>_features.ascii` a list of words, one for each group of `<what>_features_map.txt`."""
    matrix_file, map_file = directory / f"{what}_features.ascii", directory / f"{what}_features_map.txt"
    matrix = read_matrix(matrix_file, low=0, high=1)
    names = [line.strip() for line in read_text(map_file).splitlines() if line.strip()]
    if matrix.shape != (count, len(names)):
        problem = (
            f"the matrix is {matrix.shape}, but there are {count} {what}s and {len(names)} names in the map"
        )
        raise InputError(problem, file=matrix_file, fix=f"give one row per {what} and one column per name")
    groups = list(dict.fromkeys(name.partition(":")[0] for name in names))
    columns = np.array([groups.index(name.partition(":")[0]) for name in names])
    for index, group in enumerate(groups):
        wrong = np.flatnonzero(matrix[:, columns == index].sum(1) != 1)
        if len(wrong):
            raise InputError("not exactly one feature of the group is set", file=matrix_file,
                             row=int(wrong[0]) + 1, column=group, fix="set one column to 1")  # fmt: skip
    pairs = [name.partition(":")[::2] for name in names]
    return [[word(*pairs[column]) for column in np.flatnonzero(row)] for row in matrix]
