"""Two labels' log-probabilities, read from the first token of a chat completion.

By token id they are exact. By text they come from the most probable tokens alone: a label's probability is the
sum over all listed tokens that are the label but for upper or lower case and surrounding space, and a label that
is not listed is taken at the most it can be as one token.
"""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

IMPOSSIBLE = -9999.0
"""What servers write for a log-probability of minus infinity."""
ROUNDING = 1e-6  # listed probabilities add up to their sum only so exactly
QUOTED = 40  # characters of an answer that are kept


class UnreadableError(ValueError):
    """An answer says nothing about the labels; the message says why."""


def bare(text: str) -> str:
    """What two tokens of the same label have in common."""
    return text.strip().lower()


def unlisted_bound(listed: Sequence[float]) -> float:
    """The most that the log-probability of a token can be that is not among the most probable ones.

    It is no more probable than the least of them, nor than all that they leave.

    Args:
        listed: log-probabilities of these; at least one.
    """
    rest = max(1.0 - float(np.exp(listed).sum()), 0.0) + ROUNDING
    return min(*listed, math.log(rest))


def read_by_id(choice: Any, label_ids: Sequence[int]) -> tuple[str, list[float]]:
    """What was answered, and the log-probability of each token id, from vLLM's `token_id:N` names.

    Raises:
        UnreadableError: if one is not there, or all are impossible.
    """
    said, listed = _first_token(choice)
    by_name = dict(listed)
    logs = [by_name.get(f"token_id:{token}") for token in label_ids]
    found = [log for log in logs if log is not None]
    if len(found) < len(logs) or max(found) <= IMPOSSIBLE:
        raise UnreadableError(f"the server gave the labels no log-probabilities, the answer was {said}")
    return said, found


def read_by_text(choice: Any, labels: Sequence[str]) -> tuple[str, list[float]]:
    """What was answered, and the log-probability of each label; the text says where one is only a bound.

    Raises:
        UnreadableError: if no label is listed.
    """
    said, listed = _first_token(choice)
    # Over nothing the sum is minus infinity.
    logs = [
        float(reduce(np.logaddexp, (log for token, log in listed if bare(token) == bare(label)), -math.inf))
        for label in labels
    ]
    if max(logs) <= IMPOSSIBLE:
        raise UnreadableError(f"neither label is among the most probable tokens, the answer was {said}")
    bound = unlisted_bound([log for _, log in listed])
    for index, label in enumerate(labels):
        if logs[index] == -math.inf:
            logs[index] = bound
            said += f" ({label} is not listed: log-probability at most {bound:.4f})"
    return said, logs


def _first_token(choice: Any) -> tuple[str, list[tuple[str, float]]]:
    """What was answered, quoted, and the tokens that the server lists for the first position."""
    said = repr((choice.message.content or "")[:QUOTED])
    first = choice.logprobs.content[0] if choice.logprobs and choice.logprobs.content else None
    if first is None or not first.top_logprobs:
        raise UnreadableError(f"the server returned no log-probabilities, the answer was {said}")
    return said, [(token.token, token.logprob) for token in first.top_logprobs]
