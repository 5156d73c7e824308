"""A small dataset in which two kinds of users choose two kinds of items, and factors of nobody's choices."""

import jax.numpy as jnp
import numpy as np
import polars as pl

from ialp_jax.data.dataset import Dataset
from ialp_jax.recommenders.fold_in import OfflineFactors
from ialp_jax.worlds.fit.factorisation import shared_equations


def items_dataset(feedback="implicit", users=24, items=15, without=None):
    """Every second user is offline. `without` leaves out interactions."""
    generator = np.random.default_rng(5)
    alike = generator.integers(0, 2, users)[:, None] == generator.integers(0, 2, items)[None]
    user, item = np.nonzero(generator.random((users, items)) < np.where(alike, 0.7, 0.2))
    rating = np.where(alike, 4.0, 2.0)[user, item] + generator.integers(-1, 2, len(user))
    counts = np.bincount(user, minlength=users)
    frame = pl.DataFrame({
        "user": user.astype(np.int32), "item": item.astype(np.int32), "value": rating,
        "grade": ((rating - 1) / 4).astype(np.float32),
        "position": np.concatenate([np.arange(count) for count in counts]).astype(np.int32),
        "part": ["history"] * len(user),
    })  # fmt: skip
    return Dataset(
        name="choices", source="synthetic", domain="generic", feedback=feedback,
        users=pl.DataFrame({
            "user": np.arange(users, dtype=np.int32), "raw_id": [f"u{n}" for n in range(users)],
            "split": ["offline", "online"] * (users // 2),
        }),
        items=pl.DataFrame({
            "item": np.arange(items, dtype=np.int32), "raw_id": [f"i{n}" for n in range(items)],
            "title": [f"Item {n}" for n in range(items)], "text": [""] * items, "categories": [["all"]] * items,
        }),
        interactions=frame if without is None else frame.filter(~without), known_ratings=None,
        rating_range=(1.0, 5.0) if feedback == "explicit" else (0.0, 1.0), statements=(),
    )  # fmt: skip


def random_offline_factors(items, rank, seed=0):
    """Factors that no logs stand behind, with the equations that belong to them."""
    generator = np.random.default_rng(seed)
    item = jnp.asarray(generator.normal(size=(items, rank)), jnp.float32)
    offset = jnp.asarray(generator.normal(size=items), jnp.float32)
    features = jnp.concatenate([item, jnp.ones((items, 1))], axis=1)
    unobserved = jnp.float32(0.05)
    gram, pull = shared_equations(features, offset, jnp.float32(1.0), unobserved)
    return OfflineFactors(
        item, offset, jnp.zeros(rank + 1), gram, pull, unobserved,
        base_weight=jnp.float32(1.0), grade_weight=jnp.float32(1.0), base_target=jnp.float32(1.0), target_span=jnp.float32(0.0),
    )  # fmt: skip
