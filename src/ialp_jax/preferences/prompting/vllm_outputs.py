"""What vLLM's outputs say of the prompts of one request; None stands for a prompt that was too long to be sent."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from ialp_jax.preferences.judges.base import REJECTED, Judgement, Usage
from ialp_jax.preferences.prompting.label_logprobs import IMPOSSIBLE, NO_NUMBERS, total_log


def usage_of(outputs: Sequence[Any], asked: Sequence[list[int]]) -> Usage:
    """One call per prompt that was sent."""
    sent = np.array([output is not None for output in outputs], np.int32)
    length = np.array([len(prompt) for prompt in asked], np.int32) * sent
    cached = np.array(
        [0 if output is None else output.num_cached_tokens or 0 for output in outputs], np.int32
    )
    return Usage(sent, length, length - cached)


def too_long(prompt: list[int]) -> str:
    """The raw answer about a prompt that was not sent."""
    return f"{REJECTED}the prompt of {len(prompt):,} tokens is longer than max_model_len allows"


def token_log_p(output: Any, tokens: Sequence[int]) -> Float[np.ndarray, " T"]:
    """Log-probabilities of tokens as the first of the answer, among the whole vocabulary."""
    found = output.outputs[0].logprobs[0]
    return np.array([found[token].logprob for token in tokens])


def pointwise_judgement(
    outputs: list[Any], asked: list[list[int]], labels: Sequence[Sequence[int]]
) -> Judgement:
    """One prompt per item, answered by one of two labels, each the sum of the tokens that spell it; in favour first."""
    log_p = np.array(
        [
            [
                math.nan if output is None else total_log(token_log_p(output, tokens).tolist())
                for tokens in labels
            ]
            for output in outputs
        ]
    )
    raw = [too_long(prompt) if output is None else output.outputs[0].text
           for output, prompt in zip(outputs, asked, strict=True)]  # fmt: skip
    log_p = np.maximum(log_p, IMPOSSIBLE)  # NaN stays
    scores = expit(log_p[:, 0] - log_p[:, 1])
    raw = [
        text if text.startswith(REJECTED) or not math.isnan(score) else NO_NUMBERS
        for text, score in zip(raw, scores, strict=True)
    ]
    yes, no = log_p.T.astype(np.float32)
    return Judgement(scores.astype(np.float32), raw, yes, no, usage_of(outputs, asked))


def classify_judgement(outputs: list[Any], asked: list[list[int]]) -> Judgement:
    """One prompt per item, answered by a reranker's two-row head."""
    probabilities = [math.nan if output is None else output.outputs.probs[-1] for output in outputs]
    raw = [too_long(prompt) if output is None else f"p {output.outputs.probs[-1]:.4f}"
           for output, prompt in zip(outputs, asked, strict=True)]  # fmt: skip
    return Judgement(np.array(probabilities, np.float32), raw, usage=usage_of(outputs, asked))
