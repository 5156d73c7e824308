"""The embedded default judge: text similarity and popularity, calibrated to a probability. No language model.

Alike are the history's TF-IDF profile and the item's TF-IDF row, by their cosine; `held_out_fit` says how a probability
comes of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from ialp_jax.preferences.content_vectors import history_profiles, similarities, tfidf
from ialp_jax.preferences.held_out_fit import CALIBRATED, FitConfig
from ialp_jax.preferences.judges.base import JudgeContext, JudgeInfo
from ialp_jax.preferences.similarity_judge import SimilarityJudge, fitted, logs_of
from ialp_jax.preferences.states import documents
from ialp_jax.values import checked

REVISION = "1"


@dataclass(frozen=True)
@checked
class Config(FitConfig):
    """Settings of the content judge: those of its fit."""


@dataclass(frozen=True, eq=False)
class WordSimilarity:
    """Cosine of a history's and an item's words.

    Attributes:
        vectors: TF-IDF rows, Float32[N, V].
    """

    vectors: sp.csr_matrix

    @property
    def num_items(self) -> int:
        """N."""
        return int(self.vectors.shape[0])

    def __call__(
        self, histories: Int[np.ndarray, "S L"], grades: Float[np.ndarray, "S L"],
        rows: Int[np.ndarray, " P"], items: Int[np.ndarray, " P"],
    ) -> Float[np.ndarray, " P"]:  # fmt: skip
        """Cosine of each pair."""
        return similarities(history_profiles(self.vectors, histories, grades), self.vectors)[rows, items]


def build(context: JudgeContext, config: Config) -> SimilarityJudge:
    """Fits the judge to the offline users' logs; the online users' interactions are never read.

    Raises:
        InputError: if there are no logs, or no offline user's held-out interactions to calibrate with.
    """
    dataset = logs_of(context, "content", "use `ialp train` without PREFS, which has the content judge judge")
    vectors = tfidf(documents(dataset))
    return fitted(dataset, WordSimilarity(vectors), config, lambda fit: _info(config, fit))


def _info(config: Config, fit: dict[str, Any]) -> JudgeInfo:
    read = "how alike the words of the user's history and of the item are (TF-IDF)"
    if config.popularity_prior:
        read += ", and how many other offline users met the item (popularity prior)"
    return JudgeInfo(
        name="content",
        is_llm=False,
        model="TF-IDF and logistic regression",
        revision=REVISION,
        template_hash="",
        settings={"popularity_prior": config.popularity_prior, "negatives": config.negatives,
                  "seed": config.seed, **fit},
        statement=f"The preferences did not come from an LLM: the content judge scored {read}, {CALIBRATED}.",
    )  # fmt: skip
