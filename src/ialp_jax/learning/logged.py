"""Sessions of offline users that were logged before anything was learnt."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.learning.experience import Experience
from ialp_jax.serving.recording import RecordedSessions
from ialp_jax.serving.shares import draw, share_count
from ialp_jax.worlds.types import limits


@struct.dataclass
class LoggedSessions(RecordedSessions):
    """Recorded sessions as learners read them: padded with item N and 0 after a session's end.

    Those that are cut out of logs have a log-propensity of 0, which says nothing, and no session of theirs terminates.

    Attributes:
        turns: session and turn of each of the R turns that are no padding.
        exact: whether propensities were recorded; else nobody knows them.
        masked: whether nothing is recommended twice, nor what the history at the start shows.
    """

    turns: Int[Array, "R 2"]
    exact: bool = struct.field(pytree_node=False, default=True)
    masked: bool = struct.field(pytree_node=False, default=True)

    def rows(self, numbers: Int[Array, "B"], num_items: int) -> Experience:
        """The turns of these numbers, 0 to R - 1, as rows of experience."""
        session, turn = self.turns[numbers, 0], self.turns[numbers, 1]
        take = lambda leaf: leaf[session, turn]  # noqa: E731
        last = turn == self.length[session] - 1
        return Experience(
            window=jax.tree.map(take, self.window),
            limits=limits(self._excluded(session, turn, num_items)),
            action=take(self.action),
            reward=take(self.reward),
            feedback=take(self.feedback),
            appended=take(self.appended),
            terminated=last & self.terminated[session],
            log_propensity=take(self.log_propensity),
        )

    def sample(self, key: PRNGKeyArray, batch: int, num_items: int) -> Experience:
        """`batch` turns drawn uniformly with replacement; this device's part of them where devices share users.

        Raises:
            InputError: if the devices cannot share so many.
        """
        return self.rows(self.numbers(key, batch), num_items)

    def numbers(self, key: PRNGKeyArray, batch: int) -> Int[Array, "B"]:
        """The numbers of the turns that `sample` draws.

        Raises:
            InputError: if the devices cannot share so many.
        """
        if batch % share_count():
            raise InputError(f"{batch} logged turns cannot be divided among {share_count()} devices", column="mesh.user",
                             fix="use fewer devices per run, or a multiple of them as the batch")  # fmt: skip
        sample = partial(jax.random.randint, minval=0, maxval=self.turns.shape[0])
        numbers: Int[Array, "B"] = draw(sample, key, (batch // share_count(),))
        return numbers

    def _excluded(self, session: Int[Array, "B"], turn: Int[Array, "B"], num_items: int) -> Int[Array, "B E"]:
        """The history at the start and what was recommended before; derived, so that it need not be stored."""
        if not self.masked:
            return jnp.zeros((session.shape[0], 0), jnp.int32)
        earlier = jnp.arange(self.action.shape[1])[None] < turn[:, None]
        before = jnp.where(earlier, self.action[session], num_items)
        return jnp.concatenate([self.window.items[session, 0], before], axis=1)


def paid_in_logs(logged: LoggedSessions, numbers: Int[Array, "B"], turns: int) -> Float[Array, "B L"]:
    """Rewards of the logged turns of these numbers and of the `turns` - 1 that follow them in their sessions."""
    session, turn = logged.turns[numbers, 0][:, None], logged.turns[numbers, 1][:, None]
    later = turn + jnp.arange(turns, dtype=jnp.int32)[None]
    reward = logged.reward[session, jnp.minimum(later, logged.reward.shape[1] - 1)]
    return jnp.where(later < logged.length[session], reward, 0.0)


def discounted(paid: Float[Array, "*s L"], discount: Float[Array, ""] | float) -> Float[Array, "*s"]:
    """Discounted sums of what was paid in L turns."""
    powers: Float[Array, "L"] = discount ** jnp.arange(paid.shape[-1], dtype=jnp.float32)
    return paid @ powers


def turns_of(length: Int[np.ndarray, "S"]) -> Int[np.ndarray, "R 2"]:
    """Session and turn of every turn that is no padding, in order."""
    sessions = np.repeat(np.arange(len(length)), length)
    begins = np.repeat(np.cumsum(length) - length, length)
    return np.stack([sessions, np.arange(len(sessions)) - begins], axis=1).astype(np.int32)
