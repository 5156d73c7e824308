"""The contract between the batch job and whatever judges: requests in, probabilities and raw answers out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class JudgeRequest:
    """One user state and the candidates to judge for it.

    Attributes:
        state: index of the state.
        state_text: the history in words (`prompts.state_text`).
        history: item ids, most recent last.
        history_grades: their grades in [0, 1].
        items: ids of the candidates.
        item_texts: the candidates in words (`prompts.item_text`), in the same order.
    """

    state: int
    state_text: str
    history: tuple[int, ...]
    history_grades: tuple[float, ...]
    items: tuple[int, ...]
    item_texts: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """A judge's answers for one request.

    Attributes:
        scores: Float32[len(items)] in [0, 1]: probability that this user would like this item.
        raw: the answers as given, one per item, kept in the table's files.
    """

    scores: Float[np.ndarray, " K"]
    raw: list[str]


@dataclass(frozen=True)
class JudgeInfo:
    """Who judged; written beside every table and printed by every report.

    Attributes:
        name: the judge's name in the registry.
        is_llm: whether a language model judged.
        model: name of the model, or of the method where there is no model.
        revision: its exact version.
        template_hash: hash of the prompts it reads (`prompts.template_hash`), "" if it reads none.
        settings: whatever else can change an answer (sampling parameters, fitted coefficients, ...).
        statement: one sentence for the reader of a report: what judged, and how.
    """

    name: str
    is_llm: bool
    model: str
    revision: str
    template_hash: str
    settings: dict[str, Any] = field(default_factory=dict)
    statement: str = ""


class Judge(Protocol):
    """Anything that can say how probable it is that a user would like an item."""

    @property
    def info(self) -> JudgeInfo:
        """Who judges; it must not change while the judge lives."""

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """One `Judgement` per request, in order. All items of a state come in one request, side by side."""
