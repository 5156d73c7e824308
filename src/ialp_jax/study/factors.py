"""What a factorisation of the offline users' logs says of items: how alike they are, and vectors to start from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from rich.console import Console

from ialp_jax.data.dataset import Dataset
from ialp_jax.marks import AUTO, ByEvidence, Only, Since
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.ranges import Count, Percentile, Share
from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.values import checked
from ialp_jax.worlds.fit.affinity import fold
from ialp_jax.worlds.fit.factorisation import Factors
from ialp_jax.worlds.fit.points import column_points

NO_TASTE = 1e-6  # bounds what factors add to an affinity, beside targets of 1


@dataclass(frozen=True)
@checked
class LikenessConfig:
    """What the recommender keeps apart: nothing is recommended that is too like the last items of the session."""

    source: Annotated[Literal["auto", "logs", "text"], ByEvidence("likeness", logs="logs", texts="text")] = (
        "auto"
    )
    """Whence the distances of items: the offline users' logs, or the items' texts. auto decides for the texts where recorded
    sessions of offline users are too few to tell by the logs' distances which items users leave after."""
    percentile: Percentile | None = None
    """Pairs of items nearer than this percentile of all distances are too alike; None reads it off recorded sessions."""
    window: Count = 4
    """How many of the last recommended items an item must be unlike."""
    exit_rate: Annotated[Share, Only("percentile", None), Since(0.0005)] = 0.0005
    """Items are far enough apart where a recorded turn ended with the user's leaving with at most this chance."""
    at_most: Annotated[Percentile | None, Only("percentile", None), Since(None)] = 70.0
    """Where that asks for more than 70 % of all pairs, and nearer turns yet ended clearly more often: this percentile is kept
    apart, since distances of few logs are too noisy to say more. None: nothing is then."""


def reads_factors(item_start: str, likeness: LikenessConfig | None) -> bool:
    """Whether the factors are read: as embeddings, or for what is kept apart (None for nothing); auto may read them."""
    return item_start in (AUTO, "factors", "both") or (likeness is not None and likeness.source != "text")


def likeness_points(factors: Factors) -> Float[np.ndarray, "N k"]:
    """Items as points, as far apart as the offline users' affinities to them."""
    return column_points(*fold(factors, 1.0))


def factor_vectors(factors: Factors) -> Float[np.ndarray, "N k+1"]:
    """Items' factors and means as embeddings whose norm has a root mean square of 1; zeros where all items are the same."""
    items = fold(factors, 1.0)[1]
    vectors = np.column_stack([items[:, :-2], items[:, -1] - items[:, -1].mean()])
    scale = np.sqrt(np.mean(np.sum(vectors**2, axis=1)))
    return (vectors / (scale if scale > 0.0 else 1.0)).astype(np.float32)


def start_vectors(
    policy: PolicyConfig, texts: Callable[[], Float[np.ndarray, "N e"]], factors: Callable[[], Factors]
) -> Float[np.ndarray, "N e"] | None:
    """Where item embeddings start; None for noise.

    Args:
        policy: says of what, and how wide they are.
        texts: what the items' texts say; called where it is read.
        factors: of the logs; called where they are read.
    """
    assert policy.item_start != AUTO, "it is decided before anything starts"
    if policy.item_start == "random":
        return None
    if policy.item_start == "text":
        return texts()
    vectors = factor_vectors(factors())[:, : policy.embedding]
    if policy.item_start == "both":
        vectors = np.concatenate([vectors, texts()], axis=1)[:, : policy.embedding]
    return np.pad(vectors, ((0, 0), (0, policy.embedding - vectors.shape[1])))


def said_factors(dataset: Dataset, config: FactorsConfig, console: Console) -> Factors:
    """The offline users' logs, factorised; says so where their users have no taste of their own."""
    with console.status("factorising the offline users' logs"):
        factors = offline_factors(dataset, config)
    largest = np.abs(np.asarray(factors.user)).max() * np.abs(np.asarray(factors.item)).max()
    if largest < NO_TASTE:
        console.print(
            f"[yellow]factors.regularisation {config.regularisation:g} leaves the few offline users no taste: their logs say "
            "nothing of items but how popular they are, to whatever reads factors; give more logs, or lower it"
        )
    return factors
