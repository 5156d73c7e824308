"""The ledger of finished sessions: what they earned, by when they began."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int


@struct.dataclass
class Ledger:
    """Sums over finished sessions by the bin in which they started. K bins of equal length in online steps.

    Sessions that start so late that one of full length would not finish within the budget are left out: otherwise
    the last bins would hold only the short ones.
    """

    sessions: Float[Array, "K"]
    reward: Float[Array, "K"]
    length: Float[Array, "K"]


def empty_ledger(bins: int) -> Ledger:
    """A ledger without sessions."""
    zeros = jnp.zeros(bins)
    return Ledger(zeros, zeros, zeros)


class StreamClock(NamedTuple):
    """Length of the whole stream of turns (per user), for the ledger's bins."""

    turns: int
    bins: int
    turn_cap: int

    def bin_of(self, turn: Int[Array, "*s"]) -> Int[Array, "*s"]:
        """Bin of a start turn; out of range (dropped) if a full session would not fit before the end."""
        late = turn > self.turns - self.turn_cap
        return jnp.where(late, self.bins, (turn * self.bins) // self.turns)

    def whole_bins(self, turns: int) -> int:
        """Leading bins all of whose sessions have ended after so many turns, however long they are; all at the end.

        In later bins of a run that goes on only the short sessions have ended yet: their mean is not the policy's.
        """
        if turns >= self.turns:
            return self.bins
        return max(turns - self.turn_cap + 1, 0) * self.bins // self.turns

    def reach(self, turns: int) -> int:
        """Most bins in which sessions that end within so many turns in a row can have started."""
        return min(self.bins, (turns + self.turn_cap) * self.bins // self.turns + 2)


class Endings(NamedTuple):
    """What the ledger needs of every turn of a rollout; reward and length count where a session ended."""

    done: Bool[Array, "T B"]
    reward: Float[Array, "T B"]  # raw rewards of the session up to this turn
    length: Int[Array, "T B"]  # recommendations of the session up to this turn


def record(ledger: Ledger, endings: Endings, first_turn: Int[Array, ""], clock: StreamClock) -> Ledger:
    """Adds the sessions that ended within a rollout: one sum over turns and users for each bin within reach."""
    turns = endings.done.shape[0]
    started = first_turn + 1 + jnp.arange(turns, dtype=jnp.int32)[:, None] - endings.length
    where = jnp.where(endings.done, clock.bin_of(started), clock.bins)
    earliest = jnp.maximum(first_turn + 1 - clock.turn_cap, 0) * clock.bins // clock.turns
    bins = earliest + jnp.arange(clock.reach(turns), dtype=jnp.int32)

    def add(sums: Float[Array, "K"], values: Array) -> Float[Array, "K"]:
        one_bin = lambda index: jnp.sum(jnp.where(where == index, values, 0.0))  # noqa: E731
        return sums.at[bins].add(jax.vmap(one_bin)(bins), mode="drop")

    return Ledger(
        sessions=add(ledger.sessions, jnp.float32(1.0)),
        reward=add(ledger.reward, endings.reward),
        length=add(ledger.length, endings.length.astype(jnp.float32)),
    )
