"""The k-core: the largest part of the logs in which every user and every item still has k interactions."""

import polars as pl


def k_core(interactions: pl.DataFrame, k: int) -> pl.DataFrame:
    """Removes users and items with fewer than `k` rows until none is left; keeps the order of the rows.

    Args:
        interactions: columns user and item (any type), unique pairs; others are kept.
        k: rows that every kept user and every kept item must have; 1 keeps everything.

    Returns:
        The unique largest subset with that property; possibly empty.
    """
    enough = pl.all_horizontal(pl.len().over(name) >= k for name in ("user", "item"))
    while True:
        kept = interactions.filter(enough)
        if kept.height == interactions.height:
            return kept
        interactions = kept
