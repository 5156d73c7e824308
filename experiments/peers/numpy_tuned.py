"""The same environment with the loop tuned by hand: the strongest NumPy peer, not what most would write.

What is recommended goes into rings that all users share the slot of, so nothing is shifted; the window holds the
vectors themselves, at infinity where nothing was recommended yet, so it is neither gathered nor masked; arrays are
users-last and items 16 or 32 bits wide.
"""

import numpy as np

from peers.numpy_env import NumpyEnv, Outcome
from peers.world import PeerWorld, Rule


class TunedEnv(NumpyEnv):
    """`NumpyEnv` with another memory layout; agrees with it bit for bit given the same actions and users."""

    def __init__(self, world: PeerWorld, users: int, rule: Rule | None = None, seed: int = 0) -> None:
        rule = rule or Rule()
        history, width = world.history, world.item_vectors.shape[1]
        kind = np.int16 if world.num_items < 2**15 else np.int32
        self._clock = 0
        self._known = np.ascontiguousarray(world.initial_items.T.astype(kind))
        self._known_feedback = np.ascontiguousarray(world.initial_feedback.T)
        self._excluded = np.zeros((history + rule.turn_cap, users), kind)
        self._items = np.zeros((history, users), kind)
        self._feedback = np.zeros((history, users), np.float32)
        self._window = np.zeros((rule.window, users, width), np.float32)
        self._difference = np.zeros_like(self._window)
        super().__init__(world, users, rule, seed)

    def open(self, rows: np.ndarray, users: np.ndarray) -> None:
        history = self.world.history
        slots = (self._clock + np.arange(history)) % history  # where the oldest lies now
        self.user[rows] = users
        self.turn[rows] = 0
        self._excluded[:history, rows] = self._known[:, users]
        self._excluded[history:, rows] = self.world.num_items
        self._items[slots[:, None], rows] = self._known[:, users]
        self._feedback[slots[:, None], rows] = self._known_feedback[:, users]
        self._window[:, rows] = np.inf

    def observation(self) -> tuple[np.ndarray, np.ndarray]:
        return self._read(self._rows)

    def excluded(self) -> np.ndarray:
        return self._excluded.T.astype(np.int64)

    def random_actions(self) -> np.ndarray:
        kind = self._excluded.dtype
        actions = self.generator.integers(0, self.world.num_items, self.users, dtype=kind)
        again = np.flatnonzero((self._excluded == actions).any(axis=0))
        while len(again):
            actions[again] = self.generator.integers(0, self.world.num_items, len(again), dtype=kind)
            again = again[(self._excluded[:, again] == actions[again]).any(axis=0)]
        return actions.astype(np.int64)

    def transition(self, actions: np.ndarray, noise: np.ndarray | None = None) -> Outcome:
        world, history = self.world, self.world.history
        rating = world.ratings[self.user, actions]
        if noise is not None:
            rating = np.clip(rating + world.rating_noise * noise, world.rating_low, world.rating_high)
        feedback = (rating - world.rating_low) * (1.0 / (world.rating_high - world.rating_low))
        chosen = self._vectors.take(actions, axis=0)
        np.subtract(self._window, chosen, out=self._difference)
        squared = np.einsum("wbk,wbk->wb", self._difference, self._difference)
        terminated = (squared < world.distance_threshold**2).any(axis=0)
        self._window[self._clock % self.rule.window] = chosen
        self._excluded[history + self.turn, self._rows] = actions
        self._items[self._clock % history] = actions
        self._feedback[self._clock % history] = feedback
        self._clock += 1
        self.turn += 1
        truncated = (self.turn >= self.rule.turn_cap) & ~terminated
        ended = np.flatnonzero(terminated | truncated)
        return Outcome(rating, feedback, terminated, truncated, ended, self._read(ended))

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Histories of some rows in order, from the rings."""
        slots = (self._clock + np.arange(self.world.history)) % self.world.history
        return self._items[slots[:, None], rows].T.astype(np.int64), self._feedback[slots[:, None], rows].T
