"""One user as a Gymnasium environment, stepped in Python, and many of them through `SyncVectorEnv`."""

import math
from functools import partial

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from peers.numpy_env import Outcome
from peers.world import PeerWorld, Rule


class UserEnv(gymnasium.Env):
    """One session of one user at a time.

    The observation is one flat vector, as copying one array is what `SyncVectorEnv` does fastest: H items, H
    feedbacks, and the H + L items that must not be recommended (padded with N).
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium's interface

    def __init__(self, world: PeerWorld, rule: Rule | None = None, points: list | None = None) -> None:
        self.world, self.rule = world, rule or Rule()
        # `math.dist` of tuples takes a fifth of the time of NumPy's calls on arrays this small.
        self._points = as_points(world) if points is None else points
        size = 3 * world.history + self.rule.turn_cap
        self.observation_space = gymnasium.spaces.Box(0.0, np.inf, (size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(world.num_items)
        self._buffer = np.zeros(size, np.float32)
        self.session: list[int] = []
        self.excluded: set[int] = set()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Opens a session of a user drawn uniformly, or of `options["user"]`."""
        super().reset(seed=seed)
        world, history = self.world, self.world.history
        user = world.session_users[self.np_random.integers(len(world.session_users))]
        user = options["user"] if options else user
        self._ratings = world.ratings[user]
        self.session = []
        self.excluded = set(world.initial_items[user].tolist())
        self._buffer[:history] = world.initial_items[user]
        self._buffer[history : 2 * history] = world.initial_feedback[user]
        self._buffer[2 * history : 3 * history] = world.initial_items[user]
        self._buffer[3 * history :] = world.num_items
        return self._buffer.copy(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Recommends one item."""
        world, history, buffer = self.world, self.world.history, self._buffer
        rating = float(self._ratings[action])
        if world.rating_noise:
            rating += world.rating_noise * self.np_random.standard_normal()
            rating = min(max(rating, world.rating_low), world.rating_high)
        point, points, threshold = self._points[action], self._points, world.distance_threshold
        recent = self.session[-self.rule.window :]
        terminated = any(math.dist(point, points[other]) < threshold for other in recent)
        buffer[3 * history + len(self.session)] = action
        self.session.append(action)
        self.excluded.add(action)
        buffer[: 2 * history - 1] = buffer[1 : 2 * history]
        buffer[history - 1] = action
        buffer[2 * history - 1] = (rating - world.rating_low) / (world.rating_high - world.rating_low)
        truncated = len(self.session) >= self.rule.turn_cap and not terminated
        return buffer.copy(), rating, terminated, truncated, {}


def as_points(world: PeerWorld) -> list[tuple[float, ...]]:
    """Item vectors as tuples of Python floats."""
    return [tuple(row) for row in world.item_vectors.tolist()]


class GymVector:
    """`SyncVectorEnv` behind the interface of `NumpyEnv`, so that the same A2C and the same random play run on it."""

    def __init__(self, world: PeerWorld, users: int, rule: Rule | None = None, seed: int = 0) -> None:
        self.world, self.rule, self.users = world, rule or Rule(), users
        self.generator = np.random.default_rng(seed)
        build = partial(UserEnv, world, self.rule, as_points(world))
        # A new session opens in the step that ended the last one, as in ours: no step is spent on a reset.
        self._envs = SyncVectorEnv([build] * users, autoreset_mode=AutoresetMode.SAME_STEP, copy=False)
        self._seen, _ = self._envs.reset(seed=seed)

    def observation(self) -> tuple[np.ndarray, np.ndarray]:
        return self._histories(self._seen)

    def excluded(self) -> np.ndarray:
        return self._seen[:, 2 * self.world.history :].astype(np.int64)

    def random_actions(self) -> np.ndarray:
        actions = self.generator.integers(0, self.world.num_items, self.users)
        for row, env in enumerate(self._envs.envs):
            while actions[row] in env.excluded:
                actions[row] = self.generator.integers(self.world.num_items)
        return actions

    def step(self, actions: np.ndarray) -> Outcome:
        """One item to each user; sessions that ended have been followed by others."""
        # As Python integers: they index tuples several times faster than NumPy's.
        self._seen, reward, terminated, truncated, info = self._envs.step(actions.tolist())
        ended = np.flatnonzero(terminated | truncated)
        size = self._seen.shape[1]
        last = np.stack([info["final_obs"][row] for row in ended]) if len(ended) else np.zeros((0, size))
        reward = reward.astype(np.float32)
        feedback = (reward - self.world.rating_low) / (self.world.rating_high - self.world.rating_low)
        return Outcome(reward, feedback, terminated, truncated, ended, self._histories(last))

    def _histories(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        history = self.world.history
        return seen[:, :history].astype(np.int64), seen[:, history : 2 * history].astype(np.float32)
