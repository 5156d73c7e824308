"""What a loaded policy is asked, checked: nothing is answered as if it were something else."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ialp_jax.artifacts import InputError


def ones_or(grades: Sequence[float] | None, items: Sequence[int]) -> list[float]:
    """The feedback to items, 1 for each where none is given."""
    return [1.0] * len(items) if grades is None else list(grades)


def filled_row(
    items: Sequence[int], grades: Sequence[float], length: int, num_items: int
) -> tuple[Int[np.ndarray, "1 L"], Float[np.ndarray, "1 L"]]:
    """The last `length` interactions of one user as a row, filled on the left with N and 0."""
    ids, values = np.full((1, length), num_items, np.int32), np.zeros((1, length), np.float32)
    read = min(len(items), length)
    if read:
        ids[0, -read:], values[0, -read:] = list(items)[-read:], list(grades)[-read:]
    return ids, values


def check_interactions(
    items: Sequence[int], grades: Sequence[float], num_items: int, of_items: str, of_grades: str
) -> None:
    """Refuses what are no interactions of one user with a catalogue of N = `num_items`.

    Raises:
        InputError: naming `of_items` if one is no id, `of_grades` if there is not a number from 0 to 1 for each.
    """
    unknown = [item for item in items if not _whole(item) or not 0 <= item < num_items]
    if unknown:
        raise InputError(f"item {unknown[0]} is not in the catalogue", column=of_items,
                         fix=f"use ids from 0 to {num_items - 1}, whole numbers")  # fmt: skip
    if len(grades) != len(items) or not all(isinstance(grade, Real) and 0 <= grade <= 1 for grade in grades):
        raise InputError(f"{of_grades} must hold one number from 0 to 1 per item of the {of_items}", column=of_grades,
                         fix="give as many numbers as items")  # fmt: skip


def check_count(k: Any, barred: AbstractSet[int], num_items: int) -> None:
    """Refuses to recommend `k` items where fewer are left.

    Raises:
        InputError: naming the history or k.
    """
    left = num_items - len({int(item) for item in barred})
    if left == 0:
        raise InputError("the history holds every item of the catalogue, so nothing is left to recommend",
                         column="history", fix="leave an item out")  # fmt: skip
    if not _whole(k) or not 1 <= k <= left:
        raise InputError(f"{k} items cannot be recommended", column="k", fix=f"use 1 to {left}")


def check_histories(
    items: np.ndarray, feedback: np.ndarray, excluded: np.ndarray, num_items: int, history_length: int
) -> None:
    """Refuses histories, and excluded items, that `LoadedPolicy.log_probabilities` would answer as if they were others."""
    _check_ids(items, num_items, "items")
    _check_ids(excluded, num_items, "excluded")
    if items.shape[1] != history_length or feedback.shape != items.shape or len(excluded) != len(items):
        raise InputError(f"expected {history_length} items and as much feedback for each user, found shapes {items.shape}, "
                         f"{feedback.shape} and {excluded.shape}", column="items",
                         fix=f"cut histories to the last {history_length} items, or fill them on the left with {num_items}",
                         )  # fmt: skip
    check_rows(items, feedback, len(items), num_items, ("items", "feedback"))


def check_rows(
    items: np.ndarray, grades: np.ndarray, users: int, num_items: int, names: tuple[str, str]
) -> None:
    """Refuses rows of items [B, L] with grades that are not filled on the left, or grades outside [0, 1].

    Raises:
        InputError: naming the one or the other by `names`.
    """
    of_items, of_grades = names
    _check_ids(items, num_items, of_items)
    if len(items) != users or grades.shape != items.shape:
        raise InputError(f"expected a row and as many {of_grades} for each of {users} users, found shapes {items.shape} and "
                         f"{grades.shape}", column=of_items, fix=f"fill shorter rows on the left with {num_items}")  # fmt: skip
    filled = items == num_items
    if (filled[:, 1:] & ~filled[:, :-1]).any():
        raise InputError("a history is filled after an item of its own", column=of_items,
                         fix=f"fill on the left with {num_items}; the most recent item is last")  # fmt: skip
    if not ((grades >= 0) & (grades <= 1) | filled).all():
        raise InputError(f"{of_grades} must be a number from 0 to 1 for every item", column=of_grades,
                         fix="scale what users answered to [0, 1]")  # fmt: skip


def _check_ids(ids: np.ndarray, num_items: int, name: str) -> None:
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"expected rows of whole numbers, found shape {ids.shape} of {ids.dtype}", column=name,
                         fix="give an array of item ids, a row for each user")  # fmt: skip
    wrong = np.argwhere((ids < 0) | (ids > num_items))
    if wrong.size:
        row, place = map(int, wrong[0])
        raise InputError(f"item {ids[row, place]} of row {row} is not in the catalogue", column=name,
                         fix=f"use ids from 0 to {num_items - 1}, and {num_items} where there is none")  # fmt: skip


def _whole(number: Any) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)
