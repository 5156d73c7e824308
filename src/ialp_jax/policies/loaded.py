"""A trained policy in use: what it recommends to users, given what is known of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Bool, Float, Int
from scipy.special import log_softmax

from ialp_jax.artifacts import InputError
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import catalogue_logits
from ialp_jax.policies.encoders import Recall
from ialp_jax.policies.requests import (
    check_count,
    check_histories,
    check_interactions,
    check_rows,
    filled_row,
    ones_or,
)
from ialp_jax.serving.likeness import LikenessRule
from ialp_jax.worlds.types import Observation, limits

SESSION_SLOTS = 8


@dataclass(frozen=True)
class Recommendation:
    """One recommended item."""

    item: int
    raw_id: str
    title: str
    probability: float


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy ready to recommend.

    Attributes:
        network: its functions.
        params: its parameters.
        items: the catalogue: item, raw_id, title.
        history_length: most interactions of a history it was trained on.
        statements: what it was trained on, in sentences.
        likeness: what it keeps apart; None for nothing.
    """

    network: Network
    params: dict[str, Any]
    items: pl.DataFrame
    history_length: int
    statements: list[str]
    likeness: LikenessRule | None = None

    def recommend(
        self,
        history: Sequence[int],
        feedback: Sequence[float] | None = None,
        k: int = 10,
        session: Sequence[int] = (),
        answers: Sequence[float] | None = None,
    ) -> list[Recommendation]:
        """The k most probable items for a user, the lower id first where two are equally probable; fewer where no more are left
        that are not too like what was shown.

        Args:
            history: what the user knew before the session: item ids, most recent last; only the last `history_length` are
                read. Never recommended again.
            feedback: in [0, 1] for each of them; 1 if left out.
            k: how many, best first.
            session: what was recommended in this session so far, most recent last. Never recommended again; where the
                policy keeps alike items apart, neither is what is too like the last of them.
            answers: the feedback to each of them, in [0, 1]; 1 if left out.

        Raises:
            InputError: if an item is no id of the catalogue, feedback does not fit, or k is out of range.
        """
        grades, answered = ones_or(feedback, history), ones_or(answers, session)
        num_items = self.items.height
        check_interactions(history, grades, num_items, "history", "feedback")
        check_interactions(session, answered, num_items, "session", "answers")
        check_count(k, {*history, *session}, num_items)
        known = filled_row(history, grades, self.history_length, num_items)
        slots = -(-len(session) // SESSION_SLOTS) * SESSION_SLOTS  # few lengths, so few programs
        excluded = np.asarray([[*history, *session]], np.int32).reshape(1, -1)
        log_probs = self.log_probabilities(
            *known, excluded, *filled_row(session, answered, slots, num_items)
        )[0]
        best = np.argsort(-log_probs, kind="stable")[:k]
        rows = self.items.select("raw_id", "title").rows()
        return [Recommendation(int(i), rows[i][0], rows[i][1], float(np.exp(log_probs[i])))
                for i in best if np.isfinite(log_probs[i])]  # fmt: skip

    def probabilities(
        self,
        items: Int[np.ndarray, "B L"],
        feedback: Float[np.ndarray, "B L"],
        excluded: Int[np.ndarray, "B E"],
        sessions: Int[np.ndarray, "B S"] | None = None,
        answers: Float[np.ndarray, "B S"] | None = None,
    ) -> Float[np.ndarray, "B N"]:
        """Probability that each item is recommended next; arguments and errors as of `log_probabilities`.

        Of a sharp policy all but a few are 0: items are ranked by the logarithms.
        """
        return np.exp(self.log_probabilities(items, feedback, excluded, sessions, answers))

    def log_probabilities(
        self,
        items: Int[np.ndarray, "B L"],
        feedback: Float[np.ndarray, "B L"],
        excluded: Int[np.ndarray, "B E"],
        sessions: Int[np.ndarray, "B S"] | None = None,
        answers: Float[np.ndarray, "B S"] | None = None,
    ) -> Float[np.ndarray, "B N"]:
        """Log-probability that each item is recommended next, for many users in one program; -inf for what may not be.

        That is what is excluded, and, where the policy keeps alike items apart, what is too like the last items of the
        session; where that would leave nothing, it is not kept apart.

        Args:
            items: histories of L = `history_length` items, most recent last, filled on the left with N.
            feedback: in [0, 1] for each of them; not read where filled.
            excluded: items that may not be recommended; N is ignored.
            sessions: what was recommended since, most recent last, filled on the left with N; None at a session's start.
            answers: the feedback to it, in [0, 1]; not read where filled.

        Raises:
            InputError: if an item is no id from 0 to N, a history or session is not filled on the left, feedback or answers
                are not in [0, 1], or a row excludes every item.
        """
        items, feedback, excluded = np.asarray(items), np.asarray(feedback), np.asarray(excluded)
        num_items = self.items.height
        none = np.zeros((len(items), 0), np.int32)
        sessions = none if sessions is None else np.asarray(sessions)
        answers = np.ones(sessions.shape, np.float32) if answers is None else np.asarray(answers)
        check_histories(items, feedback, excluded, num_items, self.history_length)
        check_rows(sessions, answers, len(items), num_items, ("sessions", "answers"))
        read = [array for ids, grades in ((items, feedback), (sessions, answers)) for array in
                (jnp.asarray(ids, jnp.int32), jnp.asarray(np.where(ids < num_items, grades, 0.0), jnp.float32))]  # fmt: skip
        logits = np.asarray(_logits(self.network, self.params, *read), np.float64)
        permitted = self._permitted(excluded, sessions)
        return log_softmax(np.where(permitted, logits, -np.inf), axis=1)

    def _permitted(
        self, excluded: Int[np.ndarray, "B E"], sessions: Int[np.ndarray, "B S"]
    ) -> Bool[np.ndarray, "B N"]:
        """What may be recommended to each user."""
        num_items = self.items.height
        permitted = np.ones((len(excluded), num_items + 1), bool)  # the last column is of N, which is no item
        np.put_along_axis(permitted, excluded.astype(np.int64), False, axis=1)
        permitted = permitted[:, :num_items]
        if not permitted.any(axis=1).all():
            raise InputError(f"row {int(np.argmin(permitted.any(axis=1)))} excludes every item of the catalogue",
                             column="excluded", fix="leave at least one item that may be recommended")  # fmt: skip
        if self.likeness is None or not sessions.shape[1]:
            return permitted
        unlike = permitted & ~self.likeness.too_alike(sessions)
        return np.where(unlike.any(axis=1, keepdims=True), unlike, permitted)


@jax.jit(static_argnums=0)
def _logits(
    network: Network,
    params: dict[str, Any],
    items: Int[Array, "B L"],
    feedback: Float[Array, "B L"],
    sessions: Int[Array, "B S"],
    answers: Float[Array, "B S"],
) -> Float[Array, "B N"]:
    def advance(recall: Recall, turn: tuple[Array, Array]) -> tuple[Recall, None]:
        return network.advance(params, recall, *turn, turn[0] < network.module.num_items), None

    recall = network.begin(params, Observation(items, feedback))
    recall, _ = jax.lax.scan(advance, recall, (sessions.T, answers.T))
    query = network.query(params, recall.features)
    matmul = network.module.config.matmul  # the policy that was trained has the logits of rounded factors
    nothing = limits(jnp.zeros((items.shape[0], 0), jnp.int32))
    return catalogue_logits(query, *network.catalogue(params), nothing, matmul)
