"""Cases of the catalogue head, its float64 definition, and a chi-square test, shared by the head's tests."""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax
from scipy.stats import chisquare

from ialp_jax.policies.catalogue import HeadPlan
from ialp_jax.worlds.types import Limits

LEVEL = 1e-3  # of the chi-square checks; keys are fixed, so they pass or fail for good

# Tiles so small that every case has several, and none that divides the cases' sizes.
PLANS = {
    "dense": HeadPlan("dense"),
    "blocked": HeadPlan("blocked", rows=3, items=24, group=8),
}


class Case(NamedTuple):
    """Inputs of the head."""

    query: np.ndarray
    items: np.ndarray
    bias: np.ndarray
    limits: Limits

    def limited(self, **parts):
        """The same with other limits."""
        return self._replace(limits=self.limits.replace(**parts))


def case(rows, items, excluded=2, allowed=0, scale=1.0, width=3, seed=0, alike=None):
    """Random inputs; the first item of `choices` with the same arguments is permitted in every row.

    `alike` is the share of items that are kept apart for their likeness; None leaves the bits out.
    """
    generator = np.random.default_rng(seed)
    orders = choices(rows, items, seed)
    pad = np.full((rows, 2), items)
    out = np.concatenate([orders[:, 1 : 1 + excluded], pad], axis=1)
    only = np.concatenate([orders[:, :allowed], pad], axis=1) if allowed else orders[:, :0]
    floats = [generator.normal(0, scale, shape) for shape in ((rows, width), (items, width), items)]
    limits = Limits(out.astype(np.int32), only.astype(np.int32), np.zeros((rows, 0), np.uint8))
    inputs = Case(*(array.astype(np.float32) for array in floats), limits)
    if alike is None:
        return inputs
    apart = generator.random((rows, items)) < alike
    apart[np.arange(rows), orders[:, 0]] = False
    return inputs.limited(alike=bits(apart))


def bits(apart):
    """Booleans [R, N] as `Limits.alike`."""
    return np.packbits(apart, axis=1, bitorder="little")


def choices(rows, items, seed=0):
    """A random order of the items per row, from which `case` takes its lists."""
    generator = np.random.default_rng(seed + 1000)
    return np.stack([generator.permutation(items) for _ in range(rows)]).astype(np.int32)


CASES = {
    "plain": case(5, 90),
    "one row": case(1, 67),
    "blocks divide the items": case(4, 72),
    "one item more than a block": case(4, 25),
    "fewer items than a group": case(3, 5, excluded=1),
    "allowed list": case(4, 70, excluded=3, allowed=30),
    "all but one masked": case(2, 70, excluded=69),
    "one allowed": case(2, 70, excluded=0, allowed=1),
    "huge logits": case(3, 70, scale=100.0),
    "a block wholly masked": case(2, 90).limited(excluded=np.stack([np.arange(30), np.arange(60, 90)])),
    "some alike": case(5, 90, alike=0.5),
    "alike, a block of eight": case(4, 72, alike=0.5),
    "alike and an allowed list": case(4, 70, excluded=3, allowed=30, alike=0.5),
    "alike and nothing excluded": case(3, 67, alike=0.4).limited(excluded=np.zeros((3, 0), np.int32)),
    "all but one alike": case(3, 91, alike=1.0),
    "no bit set": case(3, 70, alike=0.0),
    "a block wholly alike": case(2, 90).limited(alike=bits(np.arange(90)[None] // 30 == [[0], [2]])),
}


def exact_log_probs(case, temperature=1.0):
    """Float64 log-probabilities [R, N] from the definition; -inf for items that may not be recommended."""
    query, items, bias = (array.astype(np.float64) for array in case[:3])
    logits = (query @ items.T + bias) / temperature
    for row in range(len(query)):
        may = np.ones(len(items), bool)
        excluded, allowed, alike = case.limits.excluded[row], case.limits.allowed[row], case.limits.alike[row]
        if allowed.size:
            may = np.isin(np.arange(len(items)), allowed)
        may[excluded[excluded < len(items)]] = False
        if alike.size:
            may &= np.unpackbits(alike, count=len(items), bitorder="little") == 0
        logits[row, ~may] = -np.inf
    return log_softmax(logits, axis=1)


def exact_entropy(log_probs):
    """Float64 entropy of rows of log-probabilities."""
    return -np.sum(np.exp(log_probs) * np.where(np.isfinite(log_probs), log_probs, 0.0), axis=-1)


def exact_gradients(inputs, actions, d_log_prob, d_entropy):
    """Float64 gradients of sum(d_log_prob log p_a + d_entropy H), from d l = d_log_prob (1_a - p) - d_entropy p (log p + H)."""
    log_probs = exact_log_probs(inputs)
    probs, entropy = np.exp(log_probs), exact_entropy(log_probs)[:, None]
    finite = np.where(np.isfinite(log_probs), log_probs, 0.0)
    onehot = np.eye(probs.shape[1])[actions]
    d_logits = d_log_prob[:, None] * (onehot - probs) - d_entropy[:, None] * probs * (finite + entropy)
    query, items = inputs.query.astype(np.float64), inputs.items.astype(np.float64)
    return d_logits @ items, d_logits.T @ query, d_logits.sum(axis=0)


def goodness_of_fit(draws, probabilities):
    """P-value of the draws; rare items are pooled so that every cell expects at least five."""
    expected = np.asarray(probabilities, np.float64) * draws.size
    counts = np.bincount(draws, minlength=expected.size).astype(float)
    assert counts[expected == 0].sum() == 0
    order = np.argsort(expected)
    rare = order[: np.searchsorted(np.cumsum(expected[order]), 5.0) + 1]
    keep = np.setdiff1d(order, rare)
    cells = np.append(counts[keep], counts[rare].sum()), np.append(expected[keep], expected[rare].sum())
    return chisquare(cells[0], cells[1] * cells[0].sum() / cells[1].sum()).pvalue
