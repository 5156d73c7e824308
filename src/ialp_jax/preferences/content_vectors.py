"""Items as text: TF-IDF rows, their dense projection, and how alike a history and an item are.

The similarities are sparse products, computed row by row, so a state's numbers do not depend on which other
states are in the batch (a dense matrix product may round differently with its shape).
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

WORD = r"(?u)\b\w+\b"
# A disliked item still says what the user tried; it counts this much of a fully liked one.
SMALLEST_WEIGHT = 0.1


def tfidf(texts: Sequence[str]) -> sp.csr_matrix:
    """TF-IDF rows Float32[N, V], each of length 1, or all zeros where the text has no word.

    Logarithmic term frequency and smoothed inverse document frequency: scikit-learn's `TfidfVectorizer` with
    `sublinear_tf`.
    """
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=WORD, dtype=np.float32)
    split = vectorizer.build_analyzer()
    if not any(split(text) for text in texts):
        return sp.csr_matrix((len(texts), 1), dtype=np.float32)
    return sp.csr_matrix(vectorizer.fit_transform(texts))


def text_vectors(texts: Sequence[str], dimension: int, seed: int) -> Float[np.ndarray, "N dimension"]:
    """Dense item vectors: TF-IDF, then latent semantic analysis (truncated SVD), rows of length 1.

    Rows of empty texts are zero; columns beyond the rank of the texts are zero.
    """
    sparse = tfidf(texts)
    sparse.resize(len(texts), max(2, sparse.shape[1]))  # TruncatedSVD wants two columns
    vectors = np.zeros((len(texts), dimension), np.float32)
    rank = min(dimension, *sparse.shape)
    if sparse.nnz:
        # With one text the share of variance explained, which nobody reads, is 0 / 0.
        with np.errstate(invalid="ignore"):
            projected = TruncatedSVD(rank, random_state=seed).fit_transform(sparse)
        vectors[:, :rank] = normalize(projected)
    return vectors


def history_profiles(
    vectors: sp.csr_matrix, items: Int[np.ndarray, "S L"], grades: Float[np.ndarray, "S L"]
) -> sp.csr_matrix:
    """Profile of each history, Float32[S, V]: the sum of its items' rows weighted by grade, of length 1.

    Args:
        vectors: item rows, Float32[N, V].
        items: history items; id N is padding.
        grades: grades in [0, 1]; a weight is never below `SMALLEST_WEIGHT`.
    """
    states, places = np.nonzero(items < vectors.shape[0])
    weights = np.maximum(grades[states, places], SMALLEST_WEIGHT).astype(np.float32)
    entries = (weights, (states, items[states, places]))
    profiles = sp.csr_matrix(entries, shape=(items.shape[0], vectors.shape[0])) @ vectors
    return normalize(profiles)


def similarities(profiles: sp.csr_matrix, vectors: sp.csr_matrix) -> Float[np.ndarray, "S N"]:
    """Cosine of each profile and each item, in [0, 1]; 0 where they share no word."""
    return np.minimum((profiles @ vectors.T).toarray(), np.float32(1))
