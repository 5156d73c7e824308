"""The arrays of a simulated population in NumPy, and the rule; the same content as `ialp_jax.worlds.world.World`."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rule:
    """When a session ends: `SimulatorConfig` with the rule "distance", repeats masked, departures paid."""

    turn_cap: int = 20
    window: int = 4


@dataclass(frozen=True)
class PeerWorld:
    """U users, N items, H history slots, padded on the left with item N."""

    ratings: np.ndarray  # [U, N], raw scale
    rating_low: float
    rating_high: float
    rating_noise: float
    item_vectors: np.ndarray  # [N, k]
    distance_threshold: float
    session_users: np.ndarray  # [M]
    initial_items: np.ndarray  # [U, H]
    initial_feedback: np.ndarray  # [U, H], in [0, 1]

    @property
    def num_items(self) -> int:
        return len(self.item_vectors)

    @property
    def history(self) -> int:
        return self.initial_items.shape[1]


def made_world(
    items: int,
    users: int = 1024,
    history: int = 10,
    width: int = 16,
    near: float = 0.02,
    noise: float = 0.4,
    seed: int = 0,
) -> PeerWorld:
    """A random world: ratings 1..5 around factors, a share `near` of all pairs of items closer than the threshold.

    Users have met between half of `history` items and all of them, as in `ialp_jax.bench.subjects.worlds`.
    """
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(items, width)).astype(np.float32)
    tastes = generator.normal(size=(users, width)).astype(np.float32)
    ratings = np.clip(3.0 + tastes @ vectors.T / width**0.5, 1.0, 5.0).astype(np.float32)
    pairs = generator.integers(0, items, (2, 20_000))
    pairs = pairs[:, pairs[0] != pairs[1]]
    distances = np.linalg.norm(vectors[pairs[0]] - vectors[pairs[1]], axis=1)
    known = np.stack([generator.choice(items, history, replace=False) for _ in range(users)])
    feedback = (np.take_along_axis(ratings, known, axis=1) - 1.0) / 4.0
    unfilled = np.arange(history) < history - generator.integers(history // 2, history + 1, (users, 1))
    return PeerWorld(
        ratings=ratings,
        rating_low=1.0,
        rating_high=5.0,
        rating_noise=noise,
        item_vectors=vectors,
        distance_threshold=float(np.quantile(distances, near)),
        session_users=np.arange(users),
        initial_items=np.where(unfilled, items, known),
        initial_feedback=np.where(unfilled, 0.0, feedback).astype(np.float32),
    )
