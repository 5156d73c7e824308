"""The contract between the batch job and whatever judges: requests in, probabilities and raw answers out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Int

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, Domain, Feedback
from ialp_jax.values import checked

REJECTED = "rejected: "
"""How the raw answer of a pair that was not judged begins; its score is NaN, the reason follows."""


@dataclass(frozen=True)
@checked
class JudgeContext:
    """What a judge is built for.

    Attributes:
        domain: chooses the words of its prompts.
        feedback: what the grades in the histories come from.
        dataset: the logs; None where the job runs from its files alone.
        titles: of all items, by id, cleaned (`prompts.title`); None where they are not known.
    """

    domain: Domain
    feedback: Feedback
    dataset: Dataset | None = None
    titles: tuple[str, ...] | None = None


@dataclass(frozen=True)
class JudgeRequest:
    """One user state and the candidates to judge for it.

    Attributes:
        state: index of the state.
        user: id of the user whose state it is.
        state_text: the history in words (`prompts.state_text`).
        history: item ids, most recent last.
        history_grades: their grades in [0, 1].
        items: ids of the candidates.
        item_texts: the candidates in words (`prompts.item_text`), in the same order.
    """

    state: int
    user: int
    state_text: str
    history: tuple[int, ...]
    history_grades: tuple[float, ...]
    items: tuple[int, ...]
    item_texts: tuple[str, ...]


@dataclass(frozen=True)
class Usage:
    """What the answers to one request cost, per item; all zero for a judge that calls no model.

    Where one call judges several items, all it cost stands at the first of them, so that sums are exact.

    Attributes:
        calls: of a language model.
        prompt_tokens: in the prompts of these calls.
        computed_tokens: of them, computed anew; the others came from the prefix cache.
    """

    calls: Int[np.ndarray, " K"]
    prompt_tokens: Int[np.ndarray, " K"]
    computed_tokens: Int[np.ndarray, " K"]

    @classmethod
    def nothing(cls, items: int) -> "Usage":
        """No call for any of `items` items."""
        return cls(*(np.zeros(items, np.int32) for _ in range(3)))


@dataclass(frozen=True)
class Judgement:
    """A judge's answers for one request of K items.

    Attributes:
        scores: Float32[K] in [0, 1]: probability that this user would like this item; NaN where the pair was
            rejected by rule.
        raw: the answers as given, one per item, kept in the table's files; `REJECTED` and the reason where
            the score is NaN.
        log_yes: log-probability of the label that stands for "likes it" among all next tokens; None where
            the judge knows none.
        log_no: of the label, or of all labels, that stand against it. Their probabilities' sum is the label
            mass: how far the model kept to the form of the answer.
        usage: what the answers cost; None for nothing.
    """

    scores: Float[np.ndarray, " K"]
    raw: list[str]
    log_yes: Float[np.ndarray, " K"] | None = None
    log_no: Float[np.ndarray, " K"] | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class JudgeInfo:
    """Who judged; written beside every table and printed by every report.

    Attributes:
        name: the judge's name in the registry.
        is_llm: whether a language model of general knowledge judged.
        model: name of the model, or of the method where there is no model.
        revision: its exact version.
        template_hash: hash of the prompts it reads (`prompts.template_hash`), "" if it reads none.
        settings: whatever else can change an answer (sampling parameters, fitted coefficients, ...).
        statement: one sentence for the reader of a report: what judged, and how.
        test_double: a model of random weights stood in for one; nothing it says is evidence.
    """

    name: str
    is_llm: bool
    model: str
    revision: str
    template_hash: str
    settings: dict[str, Any] = field(default_factory=dict)
    statement: str = ""
    test_double: bool = False


class Judge(Protocol):
    """Anything that can say how probable it is that a user would like an item."""

    @property
    def info(self) -> JudgeInfo:
        """Who judges; it must not change while the judge lives, and must cost little (no model is loaded)."""

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Judgement]:
        """One `Judgement` per request, in order. All items of a state come in one request, side by side.

        Equal calls give equal answers, whatever was judged before: the bytes of a resumed job rest on it.
        """


def require_known(request: JudgeRequest, num_items: int, num_users: int | None = None) -> None:
    """Refuses ids that no item or user of the logs has; a negative one would stand for another.

    Args:
        request: what is asked.
        num_items: items of the logs, whose ids begin at 0.
        num_users: users of the logs; None where any user may be asked about.

    Raises:
        InputError: naming the id.
    """
    ids = [("items", request.items, num_items), ("history", request.history, num_items)]
    if num_users is not None:
        ids.append(("user", (request.user,), num_users))
    for column, asked, number in ids:
        unknown = [one for one in asked if not 0 <= one < number]
        if unknown:
            raise InputError(f"state {request.state}: {unknown[0]} is none of the ids 0 to {number - 1} of the judge's logs",
                             column=column, fix="ask about requests made from the logs that the judge is fitted to")  # fmt: skip
