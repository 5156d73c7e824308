"""Two labels' log-probabilities, read from the first token of a chat completion.

A label's probability is the sum over the tokens that spell it, whatever their case and the space around them. By token
id they are exact. By text they come from the most probable tokens alone, and a label that is not listed is taken at the
most it can be as one token.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from ialp_jax.preferences.judges.base import REJECTED
from ialp_jax.preferences.prompting.spellings import bare

IMPOSSIBLE = -9999.0
"""What servers write for a log-probability of minus infinity."""
NO_NUMBERS = f"{REJECTED}the model's log-probabilities are no numbers"
ROUNDING = 1e-6  # listed probabilities add up to their sum only so exactly
ABOVE_ONE = 1e-3  # servers round; NaN is not below it
QUOTED = 40  # characters of an answer that are kept


class UnreadableError(ValueError):
    """An answer says nothing about the labels; the message says why."""


def total_log(logs: Sequence[float]) -> float:
    """Log of the sum of probabilities, from their logs; minus infinity over none, NaN where one is."""
    return float(logsumexp(logs)) if len(logs) else -math.inf


def unlisted_bound(listed: Sequence[float]) -> float:
    """The most that the log-probability of a token can be that is not among the most probable ones.

    It is no more probable than the least of them, nor than all that they leave.

    Args:
        listed: log-probabilities of these; at least one.
    """
    rest = max(1.0 - float(np.exp(listed).sum()), 0.0) + ROUNDING
    return min(*listed, math.log(rest))


def read_by_id(choice: Any, label_ids: Sequence[Sequence[int]]) -> tuple[str, list[float]]:
    """What was answered, and the log-probability of each label, from vLLM's `token_id:N` names.

    Args:
        choice: of a completion.
        label_ids: the tokens that spell each label.

    Raises:
        UnreadableError: if one is not there, or all are impossible.
    """
    said, listed = _first_token(choice)
    by_name = dict(listed)
    logs = [[by_name.get(f"token_id:{token}") for token in tokens] for tokens in label_ids]
    listed_logs = [[log for log in some if log is not None] for some in logs]
    if logs == listed_logs and max(map(max, listed_logs)) > IMPOSSIBLE:
        return said, [total_log(some) for some in listed_logs]
    raise UnreadableError(f"the server gave the labels no log-probabilities, the answer was {said}")


def read_by_text(choice: Any, labels: Sequence[str]) -> tuple[str, list[float]]:
    """What was answered, and the log-probability of each label; the text says where one is only a bound.

    Raises:
        UnreadableError: if no label is listed.
    """
    said, listed = _first_token(choice)
    logs = [total_log([log for token, log in listed if bare(token) == bare(label)]) for label in labels]
    if max(logs) <= IMPOSSIBLE:
        raise UnreadableError(f"neither label is among the most probable tokens, the answer was {said}")
    bound = unlisted_bound([log for _, log in listed])
    for index, label in enumerate(labels):
        if logs[index] == -math.inf:
            logs[index] = bound
            said += f" ({label} is not listed: log-probability at most {bound:.4f})"
    return said, logs


def _first_token(choice: Any) -> tuple[str, list[tuple[str, float]]]:
    """What was answered, quoted, and the tokens that the server lists for the first position.

    The client checks no types: every part may be missing or anything that JSON can say.
    """
    content = _part(choice, "message", "content")
    said = repr((content if isinstance(content, str) else "")[:QUOTED])
    positions = _part(choice, "logprobs", "content")
    listed = _part(positions[0], "top_logprobs") if isinstance(positions, list) and positions else None
    if not isinstance(listed, list) or not listed:
        raise UnreadableError(f"the server returned no log-probabilities, the answer was {said}")
    pairs = [(_part(token, "token"), _part(token, "logprob")) for token in listed]
    if not all(isinstance(token, str) and _is_log_probability(log) for token, log in pairs):
        raise UnreadableError(f"the server's log-probabilities are none, the answer was {said}")
    return said, [(token, float(max(log, IMPOSSIBLE))) for token, log in pairs]


def _part(whole: Any, *names: str) -> Any:
    """What lies below these names; None where one is missing."""
    for name in names:
        whole = getattr(whole, name, None)
    return whole


def _is_log_probability(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value <= ABOVE_ONE
