"""Logs of a dozen invented users, offline and online."""

import numpy as np
import polars as pl

from ialp_jax.data.dataset import Dataset

USERS, ITEMS, EACH = 12, 9, 5


def dataset(feedback="implicit", shuffled=None):
    """Users who touched five items each; the rows of the users of the split `shuffled` are other ones."""
    generator, other = np.random.default_rng(0), np.random.default_rng(1)
    split = ["offline", "online", "online"] * (USERS // 3)
    rows = []
    for user in range(USERS):
        drawn = [(one.permutation(ITEMS)[:EACH], one.integers(1, 6, EACH)) for one in (generator, other)]
        items, ratings = drawn[split[user] == shuffled]
        rows += [
            (user, int(item), float(rating), (rating - 1) / 4, place, "history" if place else "held_out")
            for place, (item, rating) in enumerate(zip(items, ratings, strict=True))
        ]
    names = {
        "user": pl.Int32, "item": pl.Int32, "value": pl.Float64, "grade": pl.Float32, "position": pl.Int32,
        "part": pl.String,
    }  # fmt: skip
    return Dataset(
        name="small", source="synthetic", domain="generic", feedback=feedback,
        users=pl.DataFrame({"user": np.arange(USERS, dtype=np.int32), "raw_id": [f"u{n}" for n in range(USERS)],
                            "split": split}),
        items=pl.DataFrame({"item": np.arange(ITEMS, dtype=np.int32), "raw_id": [f"i{n}" for n in range(ITEMS)],
                            "title": [f"Item {n}" for n in range(ITEMS)], "text": [""] * ITEMS,
                            "categories": [["all"]] * ITEMS}),
        interactions=pl.DataFrame(rows, schema=names, orient="row"), known_ratings=None,
        rating_range=(1.0, 5.0) if feedback == "explicit" else (0.0, 1.0), statements=(),
    )  # fmt: skip
