"""Small random worlds for tests."""

import jax.numpy as jnp
import numpy as np

from ialp_jax.worlds.world import DenseRatings, Departure, World


def world_arrays(seed, users=6, items=14, history=4, categories=3, allowed=0, noise=0.4, width=3):
    """NumPy leaves of a random world in which every rule fires now and then."""
    generator = np.random.default_rng(seed)
    known = generator.integers(0, history + 1, users)
    initial_items = np.full((users, history), items, np.int32)
    initial_feedback = np.zeros((users, history), np.float32)
    for user, length in enumerate(known):
        initial_items[user, history - length :] = generator.permutation(items)[:length]
        initial_feedback[user, history - length :] = generator.random(length)
    floats = {
        "rating_low": 1.0, "rating_high": 5.0, "rating_noise": noise, "distance_threshold": 1.1,
        "rating_floor": 1.6, "patience_start": 1.6, "patience_cost": 1.0, "patience_gain": 1.3,
    }  # fmt: skip
    return {
        **{name: np.float32(value) for name, value in floats.items()},
        "category_limit": np.int32(1),
        "ratings": generator.uniform(1, 5, (users, items)).astype(np.float32),
        "item_vectors": generator.normal(size=(items, width)).astype(np.float32),
        "item_categories": generator.random((items, categories)) < 0.4,
        "session_users": np.arange(users, dtype=np.int32),
        "initial_items": initial_items,
        "initial_feedback": initial_feedback,
        "allowed_items": np.stack([generator.permutation(items)[:allowed] for _ in range(users)])
        .astype(np.int32).reshape(users, allowed),
    }  # fmt: skip


def world_from(arrays):
    """The `World` of the leaves above."""
    leaves = {name: jnp.asarray(array) for name, array in arrays.items()}
    departure = Departure(**{name: leaves.pop(name) for name in Departure.__dataclass_fields__})
    return World(ratings=DenseRatings(leaves.pop("ratings")), departure=departure, **leaves)


def random_world(seed=0, **sizes):
    """A random `World`; see `world_arrays`."""
    return world_from(world_arrays(seed, **sizes))
