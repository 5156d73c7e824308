"""Many users at once in NumPy: the plain vectorised environment a user would write."""

from dataclasses import dataclass

import numpy as np

from peers.world import PeerWorld, Rule


@dataclass
class Outcome:
    """What one recommendation to each of B users led to; `final` is known only where a session ended.

    Attributes:
        reward: raw rating paid.
        feedback: rating scaled to [0, 1].
        terminated: the user left.
        truncated: the turn cap ended the session.
        ended: the rows whose session ended.
        final: (items, feedback) of the ended rows before their next session opened.
    """

    reward: np.ndarray
    feedback: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ended: np.ndarray
    final: tuple[np.ndarray, np.ndarray]


class NumpyEnv:
    """B users in mid-session; `transition` moves all of them, `step` also reopens sessions that ended."""

    def __init__(self, world: PeerWorld, users: int, rule: Rule | None = None, seed: int = 0) -> None:
        self.world, self.rule, self.users = world, rule or Rule(), users
        if world.num_items <= world.history + self.rule.turn_cap:
            raise ValueError(f"{world.num_items} items: a session without repeats can use them all up")
        self.generator = np.random.default_rng(seed)
        # A row for the padding item, so that unfilled slots of a window can be looked up and then ignored.
        self._vectors = np.vstack([world.item_vectors, np.zeros_like(world.item_vectors[:1])])
        self._rows = np.arange(users)
        self._ages = np.arange(1, self.rule.window + 1)
        self.user = np.zeros(users, np.int64)
        self.turn = np.zeros(users, np.int64)
        self.session_items = np.zeros((users, self.rule.turn_cap), np.int64)
        self.history_items = np.zeros((users, world.history), np.int64)
        self.history_feedback = np.zeros((users, world.history), np.float32)
        self.open(self._rows, self.draw_users(users))

    def draw_users(self, count: int) -> np.ndarray:
        """Users of new sessions, uniform with replacement."""
        return self.world.session_users[self.generator.integers(0, len(self.world.session_users), count)]

    def open(self, rows: np.ndarray, users: np.ndarray) -> None:
        """Opens sessions of given users in given rows."""
        self.user[rows] = users
        self.turn[rows] = 0
        self.session_items[rows] = self.world.num_items
        self.history_items[rows] = self.world.initial_items[users]
        self.history_feedback[rows] = self.world.initial_feedback[users]

    def observation(self) -> tuple[np.ndarray, np.ndarray]:
        """History of every user, most recent last: items [B, H] and feedback [B, H]."""
        return self.history_items.copy(), self.history_feedback.copy()

    def excluded(self) -> np.ndarray:
        """Items that must not be recommended next [B, H + L]: the known history and the session so far."""
        return np.concatenate([self.world.initial_items[self.user], self.session_items], axis=1)

    def random_actions(self) -> np.ndarray:
        """A permitted item per user, uniform: drawn again where it is excluded."""
        actions = self.generator.integers(0, self.world.num_items, self.users)
        excluded = self.excluded()
        again = np.flatnonzero((excluded == actions[:, None]).any(axis=1))
        while len(again):
            actions[again] = self.generator.integers(0, self.world.num_items, len(again))
            again = again[(excluded[again] == actions[again, None]).any(axis=1)]
        return actions

    def transition(self, actions: np.ndarray, noise: np.ndarray | None = None) -> Outcome:
        """Recommends one item to each user; sessions that end stay ended."""
        world = self.world
        rating = world.ratings[self.user, actions]
        if noise is not None:
            rating = np.clip(rating + world.rating_noise * noise, world.rating_low, world.rating_high)
        feedback = (rating - world.rating_low) / (world.rating_high - world.rating_low)
        terminated = self._too_similar(actions)
        self.session_items[self._rows, self.turn] = actions
        self.turn += 1
        truncated = (self.turn >= self.rule.turn_cap) & ~terminated
        self.history_items[:, :-1] = self.history_items[:, 1:]
        self.history_items[:, -1] = actions
        self.history_feedback[:, :-1] = self.history_feedback[:, 1:]
        self.history_feedback[:, -1] = feedback
        ended = np.flatnonzero(terminated | truncated)
        final = (self.history_items[ended], self.history_feedback[ended])
        return Outcome(rating, feedback, terminated, truncated, ended, final)

    def step(self, actions: np.ndarray) -> Outcome:
        """`transition`, then a new session of a new user wherever one ended."""
        noise = None
        if self.world.rating_noise:
            noise = self.generator.standard_normal(self.users, dtype=np.float32)
        outcome = self.transition(actions, noise)
        self.open(outcome.ended, self.draw_users(len(outcome.ended)))
        return outcome

    def _too_similar(self, actions: np.ndarray) -> np.ndarray:
        """Whether the item is nearer than the threshold to one of the last W recommended in the session."""
        slots = self.turn[:, None] - self._ages
        recent = self.session_items[self._rows[:, None], np.maximum(slots, 0)]
        difference = self._vectors[recent] - self._vectors[actions][:, None, :]
        near = (difference**2).sum(axis=-1) < self.world.distance_threshold**2
        return (near & (slots >= 0)).any(axis=1)
