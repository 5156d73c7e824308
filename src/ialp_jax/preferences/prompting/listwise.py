"""List mode: a prompt names several candidates, and the model says which one this user would like most.

Every permutation of a state's candidates deals them anew into groups. The log-probability of an item's letter
in its group is read as

    y[g, i] = u[i] + c[g] + p[position of i in g]

u: how much the user would like the item, what is wanted; c: a constant of the group (its softmax); p: how much
the model favours a letter whatever stands there, measured beforehand with a list of equal lines (contextual
calibration: Zhao et al. 2021, "Calibrate Before Use", section 5). u and c are fitted by least squares, the
choice model of Plackett and Luce with one common u per item; the dealt groups overlap, which ties them together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, logsumexp

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.judges.base import Judgement, Usage
from ialp_jax.preferences.prompting.label_logprobs import IMPOSSIBLE, NO_NUMBERS


def deal(items: int, size: int, permutations: int, key: Sequence[int]) -> list[Int[np.ndarray, " G"]]:
    """Groups of positions 0..items-1, at most `size` each and as equal as can be; every permutation holds each once.

    They are dealt until they are tied together: what no chain of groups connects cannot be compared.

    Args:
        items: candidates of a state.
        size: candidates in a prompt, at least 1.
        permutations: how often each candidate is asked about.
        key: seed of the shuffles; a state's own.

    Raises:
        InputError: if there are several groups, and one order or groups of one, so that nothing could tie them.
    """
    rng = np.random.default_rng(list(key))
    groups = -(-items // size)
    if groups > 1 and min(size, permutations) < 2:
        name, fix = (
            ("permutations", f"use 2 orders or more, or a list_size of {items}")
            if size > 1
            else ("list_size", "use 2 or more")
        )
        raise InputError(f"{items} candidates in groups of {size}, each asked about in {permutations} order(s), cannot be "
                         "compared: no candidate ties one group to another", column=name, fix=fix)  # fmt: skip
    while True:
        dealt = [part for _ in range(permutations) for part in np.array_split(rng.permutation(items), groups)]
        if _tied(dealt, items):
            return dealt


def _tied(groups: Sequence[Int[np.ndarray, " G"]], items: int) -> bool:
    """Whether every item is connected with every other by groups that share items."""
    group = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    members = sp.coo_matrix((np.ones(group.size), (group, np.concatenate(groups))), (len(groups), items))
    return bool(connected_components(members.T @ members, directed=False, return_labels=False) == 1)


def utilities(
    groups: Sequence[Int[np.ndarray, " G"]], log_p: Sequence[Float[np.ndarray, " G"]], items: int
) -> Float[np.ndarray, " items"]:
    """u of every item by least squares, with mean zero.

    Args:
        groups: the positions that were asked about together.
        log_p: log-probability of each one's letter, less that of the letter alone.
        items: K; every one is in some group.
    """
    rows = sum(map(len, groups))
    design, target = np.zeros((rows, items + len(groups))), np.concatenate(log_p)
    at = np.arange(rows)
    design[at, np.concatenate(groups)] = 1
    design[at, items + np.repeat(np.arange(len(groups)), [len(group) for group in groups])] = 1
    # Of all solutions (a constant may move between u and c) lstsq gives the shortest; the mean is then taken out.
    found = np.linalg.lstsq(design, target, rcond=None)[0][:items]
    return found - found.mean()


def chosen_over_average(utility: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    """Probability that an item would be chosen over one of average weight: sigmoid(u - log mean exp u), in (0, 1)."""
    return expit(utility - (logsumexp(utility) - np.log(utility.size)))


def judgement(
    items: int,
    groups: Sequence[Int[np.ndarray, " G"]],
    log_p: Sequence[Float[np.ndarray, " G"]],
    alone: Mapping[int, Float[np.ndarray, " G"]],
    letters: Sequence[str],
    usage: Usage,
) -> Judgement:
    """The answers about all groups of a request as scores of its items.

    Args:
        items: K.
        groups: as dealt.
        log_p: log-probability of every letter of each group.
        alone: by size of group, of every letter where all lines were equal.
        letters: in the order of the lines.
        usage: what the answers cost.
    """
    if np.isnan(np.concatenate([*log_p, *alone.values()])).any():
        return Judgement(np.full(items, np.nan, np.float32), [NO_NUMBERS] * items, usage=usage)
    log_p = [np.maximum(found, IMPOSSIBLE) for found in log_p]
    corrected = [found - np.maximum(alone[found.size], IMPOSSIBLE) for found in log_p]
    score = chosen_over_average(utilities(groups, corrected, items))
    own, others, times = np.zeros(items), np.zeros(items), np.zeros(items)
    raw: list[list[dict[str, Any]]] = [[] for _ in range(items)]
    for group, found in zip(groups, log_p, strict=True):
        p = np.exp(found)
        own[group] += p
        others[group] += p.sum() - p
        times[group] += 1
        for place, (item, value) in enumerate(zip(group, found, strict=True)):
            answer = {
                "letter": letters[place],
                "place": place,
                "of": len(group),
                "log_p": round(float(value), 4),
            }
            raw[item].append(answer)
    with np.errstate(divide="ignore"):  # a group of one has no other letter
        yes, no = np.log(own / times), np.log(others / times)
    answers = [json.dumps(one) for one in raw]
    return Judgement(score.astype(np.float32), answers, yes.astype(np.float32), no.astype(np.float32), usage)


def at_first_item(usage: Usage, items: int) -> Usage:
    """What a request's prompts cost, all of it at the first of its items (`Usage`)."""
    total = Usage.nothing(items)
    for column in fields(Usage):
        getattr(total, column.name)[0] = getattr(usage, column.name).sum()
    return total
