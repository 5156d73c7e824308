"""What the offline users' logs say of items: nothing of the online users is read."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from ialp_jax.data.dataset import Dataset
from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.study.factors import likeness_points

CONFIG = FactorsConfig(rank=3, iterations=4)
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


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_only_offline_users_are_read(feedback):
    plain, online, offline = (
        offline_factors(dataset(feedback, shuffled), CONFIG) for shuffled in (None, "online", "offline")
    )
    for field in dataclasses.fields(plain):
        np.testing.assert_array_equal(getattr(plain, field.name), getattr(online, field.name))
    np.testing.assert_array_equal(likeness_points(plain), likeness_points(online))
    assert not np.allclose(likeness_points(plain), likeness_points(offline))
    assert len(plain.user) == USERS // 3 and len(likeness_points(plain)) == ITEMS
