"""How well logs predict what recorded users answered whose own logs were left out: cross-fitted, user by user.

A factorisation reproduces the few users it was fitted to. What it is worth to others is seen where the users of every
recorded turn were left out of it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ialp_jax.data.dataset import Dataset, histories, offline_users, without_logs
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.recommenders.calibration import affinities, answers
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in

FOLDS = 5
"""Parts of the users that are left out in turn; fewer where there are fewer users."""


@dataclass(frozen=True)
class Turns:
    """Recorded turns in the order of `LoggedSessions.turns`, by user.

    Offline users whose sessions open with the same history cannot be told apart in a record, and count as one.

    Attributes:
        user: of every turn, 0 to U - 1.
        item: what was recommended.
        feedback: what was answered.
        offline: the dataset's numbers of each of the U.
    """

    user: Int[np.ndarray, "R"]
    item: Int[np.ndarray, "R"]
    feedback: Float[np.ndarray, "R"]
    offline: tuple[Int[np.ndarray, "n"], ...]

    @property
    def users(self) -> int:
        """U."""
        return len(self.offline)


def turns_by_user(dataset: Dataset, logged: LoggedSessions) -> Turns:
    """The turns of recorded sessions and whose they are."""
    offline = offline_users(dataset)
    opening = np.asarray(logged.window.items)[:, 0]
    known = histories(dataset, opening.shape[1])[0][offline]
    _, place = np.unique(np.concatenate([known, opening]), axis=0, return_inverse=True)
    numbers, user = np.unique(place[len(offline) :], return_inverse=True)
    session, turn = np.asarray(logged.turns).T
    return Turns(
        user=user[session],
        item=np.asarray(logged.action)[session, turn],
        feedback=np.asarray(logged.feedback)[session, turn],
        offline=tuple(offline[place[: len(offline)] == number] for number in numbers),
    )


def affinities_of_others(
    dataset: Dataset, factors: FactorsConfig, logged: LoggedSessions, turns: Turns
) -> Float[np.ndarray, "R"]:
    """Affinity of every turn's user to its item, by the logs of other users and the history that opened the session.

    The logs are factorised as often as there are folds, without the users of one in turn; there must be two users or more.
    """
    folds = min(FOLDS, turns.users)
    # Drawn, so that a fold is no stretch of the users' order; the same one whenever it is asked for.
    fold = np.random.default_rng(0).permutation(turns.users) % folds
    affinity = np.zeros(len(turns.user))
    for number in range(folds):
        left_out = np.concatenate([turns.offline[user] for user in np.flatnonzero(fold == number)])
        fitted = fit_fold_in(without_logs(dataset, left_out), factors)
        given = answers(fitted, logged)
        theirs = fold[turns.user] == number
        affinity[theirs] = np.asarray(affinities(fitted, given) + fitted.popular[given.item])[theirs]
    return affinity
