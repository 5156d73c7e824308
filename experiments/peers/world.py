"""The arrays of a simulated population in NumPy, and the rule; the same content as `ialp_jax.envs.world.World`."""

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
    items: int, users: int = 1000, history: int = 10, width: int = 16, near: float = 0.02, seed: int = 0
) -> PeerWorld:
    """A random world: ratings 1..5 around factors, a share `near` of all pairs of items closer than the threshold."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(items, width)).astype(np.float32)
    tastes = generator.normal(size=(users, width)).astype(np.float32)
    ratings = np.clip(3.0 + tastes @ vectors.T / width**0.5, 1.0, 5.0).astype(np.float32)
    pairs = generator.integers(0, items, (2, 20_000))
    pairs = pairs[:, pairs[0] != pairs[1]]
    distances = np.linalg.norm(vectors[pairs[0]] - vectors[pairs[1]], axis=1)
    known = generator.permuted(np.tile(np.arange(items), (users, 1)), axis=1)[:, :history]
    feedback = (np.take_along_axis(ratings, known, axis=1) - 1.0) / 4.0
    return PeerWorld(
        ratings, 1.0, 5.0, 0.0, vectors, float(np.quantile(distances, near)), np.arange(users), known, feedback
    )  # fmt: skip
