"""How good a preference table is, beside popularity and the content judge on the same pairs.

Nobody knows which unmet items a user would like; what the logs hold out stands in for it. So the measures say
how well a table ranks what users did meet, which popularity knows too: read the columns beside each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ialp_jax.artifacts import InputError, read_manifest
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.job.judged_pairs import content_scores, judged_pairs
from ialp_jax.preferences.quality import per_state
from ialp_jax.preferences.quality.answers import commonest
from ialp_jax.preferences.quality.calibration import BINS, Calibration, calibration, equal_mass
from ialp_jax.preferences.quality.per_state import StateMean, state_mean
from ialp_jax.preferences.table import KIND, PreferenceTable

FEWEST_STATES = 10
"""An AUC without item means over fewer states says nothing."""


@dataclass(frozen=True)
class LabelMass:
    """How much probability the model gave to the answers it was asked for, over the pairs where that is known.

    Attributes:
        mean: in [0, 1].
        low: 5th percentile.
        pairs: where it is known.
        labels: that were asked for; none where the judge was asked for more than one word.
        answers: the commonest beginnings of what it answered instead or as well, with their shares.
    """

    mean: float
    low: float
    pairs: int
    labels: tuple[str, ...] = ()
    answers: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ScoreQuality:
    """One column of scores against the held-out feedback; every number is a mean over states.

    Attributes:
        auc: area under the ROC curve; relevant = held-out interaction.
        ndcg: NDCG@10 with the held-out grades as gains.
        personal_auc: AUC of the scores less the item's mean in the other states (`per_state.less_item_means`);
            None for popularity, which has no personal part, and where fewer than `FEWEST_STATES` states count.
        popularity: Spearman correlation of the scores with the (log) popularity of the items.
        position: Spearman correlation of the scores with the position in which the items were asked about.
        position_bias: the same with popularity held fixed. Items are asked about in the order of their ids, and
            where these follow the items' age, popularity does too: what is left is the order's own doing.
        distinct: different scores of a state over its pairs; a judge that says the same of everything is near 0.
    """

    auc: StateMean
    ndcg: StateMean
    personal_auc: StateMean | None
    popularity: StateMean
    position: StateMean
    position_bias: StateMean
    distinct: float


@dataclass(frozen=True)
class PopularityBin:
    """Judged pairs of about equal popularity.

    Attributes:
        popularity: mean number of other offline users who met the item.
        score: the table's mean.
        content: the content judge's mean; None where it was not asked.
        observed: share of pairs with a held-out interaction.
        count: pairs.
    """

    popularity: float
    score: float
    content: float | None
    observed: float
    count: int


@dataclass(frozen=True)
class TableQuality:
    """What `evaluate_table` measures; plain values.

    Attributes:
        table: fingerprint of the table.
        judge_name, judge_model, is_llm, test_double: who judged.
        states: S, of the table.
        pairs: P, judged.
        rejected: pairs asked about and not judged.
        costs: calls of a language model, their prompt tokens, and how many were computed anew.
        label_mass: None for judges without one.
        judge: the table's scores.
        popularity: the number of other offline users who met the item, as a score.
        content: the content judge's scores on the same pairs; None where it was not asked.
        over_popularity: AUC of the table less that of popularity, on the same pairs of each state.
        over_content: the same less the content judge's; None where it was not asked.
        held_out_popularity: Spearman correlation of held-out interactions with popularity: how much of it is
            no bias.
        calibration: the table's scores as probabilities of a held-out interaction. The base rate is that of
            judged pairs in which there is one: not of liking, of which the logs know less.
        content_calibration: the content judge's.
        by_popularity: at most 10 bins of equal mass, ascending.
    """

    table: str
    judge_name: str
    judge_model: str
    is_llm: bool
    test_double: bool
    states: int
    pairs: int
    rejected: int
    costs: Mapping[str, int]
    label_mass: LabelMass | None
    judge: ScoreQuality
    popularity: ScoreQuality
    content: ScoreQuality | None
    over_popularity: StateMean
    over_content: StateMean | None
    held_out_popularity: StateMean
    calibration: Calibration
    content_calibration: Calibration | None
    by_popularity: tuple[PopularityBin, ...]


def evaluate_table(directory: Path, dataset: Dataset, *, content: bool = True) -> TableQuality:
    """Measures a finished table against its users' held-out feedback.

    Args:
        directory: the table's.
        dataset: the logs its users are from.
        content: also ask the content judge about the same pairs; costs seconds. Its three coefficients are fitted
            to the same held-out feedback.

    Raises:
        InputError: if the table is not finished, is of other logs, or no pair of it was judged.
    """
    table = PreferenceTable.load(directory)
    _check(table, dataset, directory)
    pairs = judged_pairs(directory, dataset)
    asked = content_scores(dataset, pairs) if content else None
    if asked is not None:
        pairs = pairs.with_columns(content=pl.Series(asked))
    relevant = pairs["relevant"].to_numpy()
    info = table.info
    return TableQuality(
        table=read_manifest(directory, KIND).fingerprint,
        judge_name=info.name, judge_model=info.model, is_llm=info.is_llm, test_double=info.test_double,
        states=table.num_states, pairs=table.num_judgements, rejected=table.rejected, costs=dict(table.costs),
        label_mass=_label_mass(pairs, tuple(info.settings.get("labels", ()))),
        judge=_score_quality(pairs, "score"),
        popularity=_score_quality(pairs, "popularity", personal=False),
        content=None if asked is None else _score_quality(pairs, "content"),
        over_popularity=_auc_over(pairs, "popularity"),
        over_content=None if asked is None else _auc_over(pairs, "content"),
        held_out_popularity=state_mean(per_state.spearman(pairs, "relevant", "popularity")),
        calibration=calibration(pairs["score"].to_numpy(), relevant),
        content_calibration=None if asked is None else calibration(asked, relevant),
        by_popularity=_by_popularity(pairs),
    )  # fmt: skip


def _check(table: PreferenceTable, dataset: Dataset, directory: Path) -> None:
    if table.dataset != dataset.fingerprint:
        raise InputError(f"the table was made from other logs (fingerprint {table.dataset}, not "
                         f"{dataset.fingerprint})", file=directory, column="dataset",
                         fix="name the logs it was planned with, read with the same settings")  # fmt: skip
    if not table.num_judgements:
        raise InputError(f"none of its {table.rejected:,} pairs was judged", file=directory, column="score",
                         fix="look at the raw answers (ialp prefs show) and judge again")  # fmt: skip


def _score_quality(pairs: pl.DataFrame, scores: str, *, personal: bool = True) -> ScoreQuality:
    own = (
        state_mean(per_state.auc(per_state.less_item_means(pairs, scores), "personal")) if personal else None
    )
    return ScoreQuality(
        auc=state_mean(per_state.auc(pairs, scores)),
        ndcg=state_mean(per_state.ndcg(pairs, scores)),
        personal_auc=own if own is not None and own.states >= FEWEST_STATES else None,
        popularity=state_mean(per_state.spearman(pairs, scores, "popularity")),
        position=state_mean(per_state.spearman(pairs, scores, "position")),
        position_bias=state_mean(per_state.partial_spearman(pairs, scores, "position", "popularity")),
        distinct=float(per_state.distinct(pairs, scores).mean()),
    )


def _auc_over(pairs: pl.DataFrame, other: str) -> StateMean:
    return state_mean(per_state.auc(pairs, "score") - per_state.auc(pairs, other))


def _label_mass(pairs: pl.DataFrame, labels: tuple[str, ...]) -> LabelMass | None:
    answered = pairs.drop_nulls("mass")
    known = answered["mass"].to_numpy()
    if not known.size:
        return None
    answers = commonest(answered["raw"].to_list()) if labels else ()
    return LabelMass(float(known.mean()), float(np.quantile(known, 0.05)), known.size, labels, answers)


def _by_popularity(pairs: pl.DataFrame) -> tuple[PopularityBin, ...]:
    code = equal_mass(pairs["popularity"].to_numpy(), BINS)
    content = pl.col("content").cast(pl.Float64).mean() if "content" in pairs.columns else pl.lit(None)
    bins = pairs.group_by(pl.Series("bin", code)).agg(
        pl.col("popularity").mean(), pl.col("score").cast(pl.Float64).mean(), content.alias("content"),
        pl.col("relevant").mean().alias("observed"), pl.len().alias("count"),
    )  # fmt: skip
    return tuple(PopularityBin(**row) for row in bins.sort("bin").drop("bin").iter_rows(named=True))
