"""Thompson sampling whose proposals the preference table may veto: the table as a filter, without any pre-training."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.methods.base import Card, Common, Data, OfflineFit, Rival, Stage, online_needs
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.linear_feedback import LinearFeedbackLearner, LinearState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.fixed import best, choose
from ialp_jax.ranges import PositiveShare, Rate, Weight
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in, tastes
from ialp_jax.recommenders.pair_features import item_features, lift
from ialp_jax.recommenders.regression import Evidence
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import user_keys
from ialp_jax.worlds.types import Situation

ROWS = 256
"""Users whose rows of the table are looked at together: what a turn holds does not grow with the users served."""


@struct.dataclass
class FilterHyper:
    """Numbers of Thompson sampling and of the table's veto."""

    kept_share: PositiveShare = 0.5
    """Share of the catalogue, the best of a user's row of the table, that passes; 1 vetoes nothing."""
    judge_temperature: Weight = 0.0
    """T: an item of score L passes with probability sigmoid((L - threshold) / T); 0 decides by the threshold."""
    prior_variance: Rate = 1.0
    """Variance of every weight beforehand."""
    noise_variance: Rate = 0.1
    """Variance of the feedback around its prediction."""


@struct.dataclass
class FilterState(LinearState):
    """As any linear model of the feedback, and the lowest score of each user's row that passes."""

    threshold: Float[Array, "U"]


@struct.dataclass
class Filtered:
    """What is kept of a recommendation.

    Attributes:
        taste: of the user.
        vetoed: whether the item is not the one that was proposed.
    """

    taste: Float[Array, "*s k"]
    vetoed: Bool[Array, "*s"]


def least_passing(table: Float[Array, "U N"], share: Float[Array, ""] | float) -> Float[Array, "U"]:
    """Of every row the score of the last of its best round(share N) items, at least one; equal scores pass together."""
    rank = jnp.clip(jnp.round(share * table.shape[1]).astype(jnp.int32), 1, table.shape[1])
    return jax.lax.map(lambda row: jnp.sort(row, descending=True)[rank - 1], table)


def drawn_weights(
    key: PRNGKeyArray, mean: Float[Array, "d"], factor: Float[Array, "d d"]
) -> Float[Array, "d"]:
    """w ~ N(mean, precision^-1) with the lower Cholesky factor of the precision: mean + factor^-T z, z standard normal."""
    noise = jax.random.normal(key, mean.shape)
    return mean + jax.scipy.linalg.solve_triangular(factor, noise, trans=1, lower=True)


def filtered_item(
    key: PRNGKeyArray, scores: Float[Array, "N"], passes: Bool[Array, "N"], permitted: Bool[Array, "N"]
) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """The best permitted item that passes, of all permitted ones where none passes; and whether a better one was vetoed."""
    passing = permitted & passes
    item = choose(key, best(scores, jnp.where(jnp.any(passing), passing, permitted)))
    return item, ~best(scores, permitted)[item]


@dataclass(frozen=True)
class FilterLearner(LinearFeedbackLearner):
    """Proposes by weights drawn from their posterior, executes what passes the table, and learns from what it executed."""

    def init(self, key: PRNGKeyArray, hyper: FilterHyper, data: Data, start: tuple[()]) -> FilterState:
        """Starts from the prior, or from what recorded sessions answered."""
        del start
        assert data.prior is not None, "this method reads the preference table"
        evidence, threshold = self.beforehand(hyper, data), least_passing(data.prior, hyper.kept_share)
        actor = filtering_actor(evidence, threshold, hyper, data.hidden())
        return FilterState(evidence, self.open(key, actor, data), threshold)

    def taste(self, transitions: Transition) -> Float[Array, "T B k"]:
        """The users' tastes, by which a rollout was served."""
        taste: Float[Array, "T B k"] = transitions.extras.taste
        return taste

    def told(self, transitions: Transition) -> dict[str, Array]:
        """How often the proposal was vetoed."""
        return {"vetoed": jnp.mean(transitions.extras.vetoed.astype(jnp.float32))}

    def actor(self, run: FilterState, hyper: FilterHyper, data: Data, greedy: Flag = False) -> Actor:
        """As it samples now, or by the mean weights and the threshold itself."""
        return filtering_actor(run.evidence, run.threshold, hyper, data, greedy)


def filtering_actor(
    evidence: Evidence, threshold: Float[Array, "U"], hyper: FilterHyper, data: Data, greedy: Flag = False
) -> Actor:
    """Thompson sampling behind the table's veto; greedily nothing is drawn but ties."""
    table: Any = data.prior
    items, mean, explores = item_features(data.fitted), evidence.mean, jnp.where(greedy, 0.0, 1.0)
    factor = jnp.linalg.cholesky(evidence.precision)

    def one_user(
        row: tuple[PRNGKeyArray, Float[Array, "k"], Situation],
    ) -> tuple[Int[Array, ""], Filtered]:
        key, taste, situation = row
        weight_key, judge_key, tie_key = jax.random.split(key, 3)
        weights = mean + explores * (drawn_weights(weight_key, mean, factor) - mean)
        # One draw for all items: each passes with its probability, and the higher score before the lower.
        level = threshold[situation.user] + explores * hyper.judge_temperature * jax.random.logistic(
            judge_key
        )
        passes = (table[situation.user] >= level) | (hyper.kept_share >= 1.0)
        permitted = situation.action_mask(items.shape[0])
        item, vetoed = filtered_item(tie_key, items @ (lift(taste).T @ weights), passes, permitted)
        return item, Filtered(taste, vetoed)

    def act(keys: PRNGKeyArray, recall: Any, situation: Situation) -> tuple[Array, Filtered]:
        return jax.lax.map(one_user, (keys, recall, situation), batch_size=ROWS)

    return Actor(
        lambda histories: tastes(data.fitted, histories), lambda recall, *interaction: recall, act, user_keys
    )


@register("llm_filter")
@dataclass(frozen=True)
class LLMFilter:
    """Thompson sampling with the preference table as a filter: it proposes, the table may veto, the executed item teaches.

    As published: weights are drawn from their posterior for every recommendation, the best item by them is proposed, a language
    model may veto it, and the posterior learns from what was executed. Decided here: there is no null item, so a vetoed proposal
    gives way to the next best that passes, and where no permitted item passes nothing is vetoed; the judge is the table, not a
    language model asked at every turn, and it reads no text of the user's state; one model for all items, on features of user and
    item as in `linear_bandit` (2 factors + 3 weights), in the place of a model per action; it may start from recorded sessions.
    A soft judge draws one threshold for all items of a recommendation. Its greedy version takes the mean weights.
    """

    factors: Annotated[FactorsConfig, Flat] = FactorsConfig()
    """The factorisation of the offline logs that its features are made from."""
    hyper: Annotated[FilterHyper, Flat] = field(default_factory=FilterHyper)
    """Its numbers."""
    recorded: bool = True
    """Whether it starts from what recorded sessions of offline users answered."""
    look: bool = True
    """Whether what is too like the last recommended items is not recommended."""

    card: ClassVar[Card] = Card(
        "LLM filter", "Thompson sampling, its proposals vetoed by the preference table, learns online", PREFERENCES,
        learns_online=True, paper="arXiv 2501.06980", curves={"vetoed": "share of vetoed proposals"},
        rivals=(
            Rival("linear_bandit", "final_reward", "Does Thompson sampling behind the table's veto end above LinUCB?"),
            Rival("table_planner", "final_reward", "Does it learn past the table, both with a look?"),
            Rival("a_ialp_ft", "mean_reward", "Does the table as a filter earn more than the table as a world?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Fitted on the host, then online."""
        del study
        needs = online_needs(self.look) | {Need.PRIOR} | ({Need.RECORDED} if self.recorded else set())
        fit = OfflineFit(fit_fold_in, self.factors)
        return (Stage("llm_filter", FilterLearner, self.recorded, self.hyper, needs, fitted=fit),)
