"""From raw values (hours, plays, ratings) to grades in [0, 1] that mean the same for every item."""

import polars as pl

from ialp_jax.data.reading import ROW


def implicit_grade() -> pl.Expr:
    """Quantile of the value among the item's users: mid-rank / n, in (0, 1]; ties share their mean rank.

    Within the item, so that a game that takes long to finish is not thereby liked more than a short one.
    """
    return (pl.col("value").rank("average") / pl.len()).over("item").cast(pl.Float32)


def explicit_grade(low: float, high: float) -> pl.Expr:
    """(rating - low) / (high - low), in [0, 1]."""
    return ((pl.col("value") - low) / (high - low)).cast(pl.Float32)


def combine_repeats(interactions: pl.DataFrame, explicit: bool) -> pl.DataFrame:
    """Makes user-item pairs unique.

    Hours and plays are summed. Of ratings the last one stands (by time where there is one, else by place in
    the file): a person who rates again corrects the earlier rating. The time of the pair is its latest.

    Args:
        interactions: columns user, item, value Float64, file_row Int64 and, where known, time.
        explicit: whether the values are ratings.

    Returns:
        user, item, value and, where known, time, sorted by user and item.
    """
    timed = "time" in interactions.columns
    last = pl.col("value").sort_by(["time", ROW] if timed else [ROW]).last()
    # Sorted before summing: the sum of floats must not depend on the order of the file or on threads.
    value = last if explicit else pl.col("value").sort().sum()
    times = [pl.col("time").max()] if timed else []
    return interactions.group_by("user", "item").agg(value, *times).sort("user", "item")
