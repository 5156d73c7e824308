"""Which items a judge is asked about: for each state, some like the history, some popular, some at random."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.content_vectors import history_profiles, similarities
from ialp_jax.preferences.states import UserStates
from ialp_jax.ranges import at_least
from ialp_jax.values import checked

STATES_AT_ONCE = 1024  # bounds the dense states x items block


@dataclass(frozen=True)
@checked
class CandidateConfig:
    """How many candidates of each kind a state gets; all items where the catalogue is smaller.

    Attributes:
        similar: items whose text is most like the history.
        popular: items met most often in the offline users' logs, among those not yet taken.
        random: items drawn uniformly from the rest.
        seed: of the random ones; every user has a stream of their own.
    """

    similar: Annotated[int, at_least(0)] = 100
    popular: Annotated[int, at_least(0)] = 60
    random: Annotated[int, at_least(0)] = 40
    seed: Annotated[int, at_least(0)] = 0

    def __post_init__(self) -> None:
        if self.similar + self.popular + self.random == 0:
            raise InputError("no candidates are asked for", fix="raise similar, popular or random above 0")


def choose_candidates(
    states: UserStates, vectors: sp.csr_matrix, popularity: Float[np.ndarray, " N"], config: CandidateConfig
) -> Int[np.ndarray, "S K"]:
    """Candidates of every state: distinct, none from the history, ascending, padded with id N at the end.

    A state's candidates depend on its own history and user id only, not on the batch it is in.

    Args:
        states: the user states.
        vectors: TF-IDF rows of the items, Float32[N, V].
        popularity: interactions of the offline users with each item.
        config: how many of each kind.
    """
    starts = range(0, states.users.size, STATES_AT_ONCE)
    blocks = [slice(start, start + STATES_AT_ONCE) for start in starts]
    parts = [UserStates(states.users[block], states.items[block], states.grades[block]) for block in blocks]
    return np.concatenate([_choose_block(part, vectors, popularity, config) for part in parts])


def _choose_block(
    states: UserStates, vectors: sp.csr_matrix, popularity: Float[np.ndarray, " N"], config: CandidateConfig
) -> Int[np.ndarray, "B K"]:
    num_items = vectors.shape[0]
    excluded = np.zeros((states.users.size, num_items + 1), bool)
    np.put_along_axis(excluded, states.items.astype(np.int64), True, axis=1)
    excluded = excluded[:, :num_items]
    chosen = np.zeros_like(excluded)
    streams = [np.random.default_rng((config.seed, int(user))) for user in states.users]
    noise = np.stack([stream.random(num_items) for stream in streams])
    alike = similarities(history_profiles(vectors, states.items, states.grades), vectors)
    preferences = (
        (alike, config.similar),
        (np.broadcast_to(popularity, noise.shape), config.popular),
        (noise, config.random),
    )
    for preference, count in preferences:
        chosen |= _best(preference, excluded | chosen, count)
    width = min(config.similar + config.popular + config.random, num_items)
    ids = np.where(chosen, np.arange(num_items), num_items)
    return np.sort(ids, axis=1)[:, :width].astype(np.int32)


def _best(preference: np.ndarray, taken: Bool[np.ndarray, "B N"], count: int) -> Bool[np.ndarray, "B N"]:
    """Marks the `count` highest of each row that are not taken (or all there are); ties by item id."""
    order = np.argsort(np.where(taken, np.inf, -preference.astype(np.float64)), axis=1, kind="stable")
    best = np.zeros_like(taken)
    np.put_along_axis(best, order[:, :count], True, axis=1)
    return best & ~taken
