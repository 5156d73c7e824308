"""What this room reads from a Dataset: user states, item documents, and the logs of the users it may see."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, histories


@dataclass(frozen=True)
class UserStates:
    """The states a judge is asked about: one per user, as known at the start of a session.

    Attributes:
        users: user id of each state, ascending.
        items: history, most recent last, left-padded with item id N.
        grades: grade in [0, 1] of each history item, 0 where padded.
    """

    users: Int[np.ndarray, " S"]
    items: Int[np.ndarray, "S L"]
    grades: Float[np.ndarray, "S L"]


def user_states(dataset: Dataset, split: Literal["offline", "online"] = "offline") -> UserStates:
    """The states of one split's users, from their "history" interactions only; "profiled" users are offline ones.

    Raises:
        InputError: if the split has no users.
    """
    splits = ["offline", "profiled"] if split == "offline" else [split]
    chosen = dataset.users.filter(pl.col("split").is_in(splits))["user"]
    users = chosen.to_numpy()
    if users.size == 0:
        raise InputError(f"the dataset {dataset.name!r} has no {split} users", column="split",
                         fix="lower the share of the other split")  # fmt: skip
    known = dataset.interactions.filter(
        (pl.col("part") == "history") & pl.col("user").is_in(chosen.implode())
    )
    longest = int(known["user"].unique_counts().max() or 1)  # type: ignore[arg-type]
    items, grades, _ = histories(dataset, longest)
    return UserStates(users.astype(np.int32), items[users], grades[users])


def of_users(states: UserStates, users: Int[np.ndarray, " M"]) -> UserStates:
    """The states of some of the users, in the order of `users`, all of whom must have one."""
    rows = np.searchsorted(states.users, users)
    return UserStates(states.users[rows], states.items[rows], states.grades[rows])


def documents(dataset: Dataset) -> list[str]:
    """One text per item, by item id: title, attributes, and the categories the attributes do not name."""
    rows = dataset.items.select("title", "text", "categories").iter_rows()
    return [
        " ".join([title, text, *(name for name in names if name not in text)]) for title, text, names in rows
    ]


def interactions_of(
    dataset: Dataset, users: Int[np.ndarray, " S"], part: Literal["history", "held_out"] | None = None
) -> tuple[Int[np.ndarray, " I"], Int[np.ndarray, " I"], Float[np.ndarray, " I"]]:
    """Interactions of `users` alone, as (position in `users`, item, grade); `part` None means both parts."""
    chosen = pl.col("part") != "unread" if part is None else pl.col("part") == part
    log = dataset.interactions.filter(chosen)
    state_of = np.full(dataset.num_users, -1, np.int32)
    state_of[users] = np.arange(users.size, dtype=np.int32)
    states = state_of[log["user"].to_numpy()]
    kept = states >= 0
    return states[kept], log["item"].to_numpy()[kept], log["grade"].to_numpy()[kept]


def interaction_matrix(
    dataset: Dataset, users: Int[np.ndarray, " S"], part: Literal["history", "held_out"] | None = None
) -> Bool[np.ndarray, "S N"]:
    """Whether each of `users` has an interaction of `part` with each item."""
    states, items, _ = interactions_of(dataset, users, part)
    matrix = np.zeros((users.size, dataset.num_items), bool)
    matrix[states, items] = True
    return matrix
