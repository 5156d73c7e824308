"""Order within users, history and held-out parts, offline and online users; all decided by the seed alone."""

import numpy as np
import polars as pl
from jaxtyping import Int

# Streams of the seed: one choice must not change when another draws more numbers.
ORDER_STREAM, USER_STREAM, ITEM_STREAM = 0, 1, 2


def order_within_user(interactions: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Adds `position` (Int32, 0 = oldest) and sorts by user and position.

    By the column `time` where there is one, ties shuffled; else a shuffle, because the order of the file may
    itself tell the value (logs are often sorted by hours).

    Args:
        interactions: user, item (unique pairs) and, where known, time.
        seed: decides the shuffle.
    """
    interactions = interactions.sort("user", "item")
    shuffle = np.random.default_rng([seed, ORDER_STREAM]).random(interactions.height)
    keys = ["user", "time", "shuffle"] if "time" in interactions.columns else ["user", "shuffle"]
    ordered = interactions.with_columns(shuffle=shuffle).sort(keys).drop("shuffle")
    return ordered.with_columns(position=pl.int_range(pl.len()).over("user").cast(pl.Int32))


def part_of_user(history_length: int) -> pl.Expr:
    """Marks the latest min(history_length, n // 2) of a user's n "history", the rest "held_out"."""
    count = pl.len().over("user").cast(pl.Int64)
    size = pl.min_horizontal(pl.lit(history_length, pl.Int64), count // 2)
    return pl.when(pl.col("position") >= count - size).then(pl.lit("history")).otherwise(pl.lit("held_out"))


def new_items(num_items: int, share: float, seed: int) -> Int[np.ndarray, " M"]:
    """Draws a share of the items, whose interactions nobody may read; ascending."""
    order = np.random.default_rng([seed, ITEM_STREAM]).permutation(num_items)
    drawn: Int[np.ndarray, " M"] = np.sort(order[: round(num_items * share)])
    return drawn


def split_users(
    num_users: int,
    offline_fraction: float,
    seed: int,
    validation: bool = False,
    logged_users: int | None = None,
) -> list[str]:
    """Draws `offline_fraction` of the users (never none, never all) as "offline"; the rest are "online".

    For validation the second half of those drawn are "online" instead, and the rest "unused": whatever is tried on such a
    split, users who are met online without it have no part in. Of the offline users the first `logged_users` keep that
    name (all if None); the others are "profiled".
    """
    num_offline = int(np.clip(round(num_users * offline_fraction), 1, num_users - 1))
    order = np.random.default_rng([seed, USER_STREAM]).permutation(num_users)
    split = np.full(num_users, "unused" if validation else "online", dtype=object)
    split[order[:num_offline]] = "offline"
    if validation:
        split[order[(num_offline + 1) // 2 : num_offline]] = "online"
    if logged_users is not None:
        offline = order[: (num_offline + 1) // 2 if validation else num_offline]
        split[offline[logged_users:]] = "profiled"
    return list(split)
