"""SLINVIT: a search at serving time over what the preference table proposes, valued by a model of the feedback.

    score of a path = sum_t gamma^t alpha P_table(a_t|s_t) + V(leaf)          (Zhang et al. 2024, arXiv 2402.16181)

Both are numbers and are added (public code of one of its tasks puts two lists one after the other instead, so that a path's
prior never meets its value). The first item of the best path is recommended, and the next turn searches anew.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.methods.base import Budget, Card, Common, Data, OfflineFit, Rival, Stage, online_needs
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.frozen import FrozenLearner, FrozenState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.fixed import best, choose
from ialp_jax.policies.memory import Memory, opened
from ialp_jax.ranges import Count, Rate, Share, Weight, within
from ialp_jax.recommenders.calibration import answers, calibrate, item_weights, with_one
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.fold_in import fit_fold_in
from ialp_jax.recommenders.online_factors import session_tastes
from ialp_jax.serving.likeness import Likeness
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import user_keys
from ialp_jax.values import checked
from ialp_jax.worlds.types import Situation, unpacked

ROWS = 64
"""Users whose trees are searched together: each kept node holds a mask over the catalogue."""

ANSWER_WEIGHT = 3.0
"""Of one answer of a session, real or imagined, in its user's taste, beside an observed pair of the logs: that of
`mf_planner_online`."""


@struct.dataclass
class SearchHyper:
    """Numbers of the search."""

    prior_weight: Weight = 0.1
    """alpha: what the table's probability of an item counts beside its expected feedback."""
    prior_temperature: Rate = 0.1
    """What the table's scores are divided by before their softmax over the proposals."""
    discount: Share = 0.95
    """gamma."""


@dataclass(frozen=True)
@checked
class SearchConfig:
    """What decides the program of the search."""

    depth: Annotated[int, within(1, 2)] = 2
    """Recommendations that a path is long."""
    proposals: Count = 8
    """Items that the table proposes in each state."""
    kept: Count = 2
    """Paths that are gone on with, those of the highest score."""


@struct.dataclass
class Node:
    """A path of imagined recommendations to one user, and where it leads.

    Attributes:
        first: item that it begins with.
        score: what it is worth so far, V of its end included.
        alive: whether there is such a path.
        memory: the session with the answers that are expected.
        permitted: what may be recommended next.
    """

    first: Int[Array, "*k"]
    score: Float[Array, "*k"]
    alive: Bool[Array, "*k"]
    memory: Memory
    permitted: Bool[Array, "*k N"]


@struct.dataclass
class Steps:
    """The continuations of a path by each of M proposals.

    Attributes:
        item: what is recommended.
        feedback: what is expected to be answered.
        score: of the path that is one longer.
        alive: whether there is such a path.
    """

    item: Int[Array, "*k M"]
    feedback: Float[Array, "*k M"]
    score: Float[Array, "*k M"]
    alive: Bool[Array, "*k M"]


@dataclass(frozen=True)
class Knowledge:
    """What a search reads of one user: row of the table, weights of the items, factors, and what is kept apart."""

    table: Float[Array, "N"]
    weights: Float[Array, "N k+1"]
    factors: Any
    likeness: Likeness | None


def highest(
    key: PRNGKeyArray, scores: Float[Array, "N"], among: Bool[Array, "N"], count: int
) -> tuple[Int[Array, "M"], Bool[Array, "M"]]:
    """Places of the `count` highest scores, best first, equals in random order; and whether there were so many."""

    def take(left: Bool[Array, "N"], one_key: PRNGKeyArray) -> tuple[Array, tuple[Array, Array]]:
        place = choose(one_key, best(scores, left))
        return left.at[place].set(False), (place, jnp.any(left))

    return jax.lax.scan(take, among, jax.random.split(key, count))[1]


def continued(
    key: PRNGKeyArray, node: Node, turn: int, known: Knowledge, config: SearchConfig, hyper: SearchHyper
) -> Steps:
    """All continuations of a path of `turn` items; where nothing may be recommended any more it stays as it is."""
    item, alive = highest(key, known.table, node.permitted, config.proposals)
    chance = jax.nn.softmax(known.table[item] / hyper.prior_temperature, where=alive)
    one = jax.tree.map(lambda leaf: leaf[None], node.memory)
    taste = session_tastes(known.factors, known.weights, one, ANSWER_WEIGHT)[0]
    feedback = known.weights[item] @ with_one(taste)
    gain = hyper.discount**turn * (hyper.prior_weight * chance + feedback)
    ended = ~jnp.any(alive) & (jnp.arange(config.proposals) == 0)
    score = node.score + jnp.where(alive, gain, 0.0)
    return Steps(item, feedback, score, (alive | ended) & node.alive)


def reached(node: Node, item: Int[Array, ""], feedback: Float[Array, ""], known: Knowledge) -> Node:
    """Where a recommendation leads if it is answered as expected: it is not repeated, nor followed by what is too like it."""
    left = node.permitted.at[item].set(False)
    if known.likeness is not None:
        apart = left & ~unpacked(known.likeness.near[item])[: left.size]
        left = jnp.where(jnp.any(apart), apart, left)
    memory = node.memory.after(item, feedback, jnp.bool_(True))
    return node.replace(memory=memory, permitted=left)  # type: ignore[attr-defined, no-any-return]


def searched(
    key: PRNGKeyArray,
    memory: Memory,
    permitted: Bool[Array, "N"],
    known: Knowledge,
    config: SearchConfig,
    hyper: SearchHyper,
) -> Int[Array, ""]:
    """The first item of the best path of one user."""
    root = Node(jnp.int32(0), jnp.float32(0.0), jnp.bool_(True), memory, permitted)
    nodes = jax.tree.map(lambda leaf: leaf[None], root)
    for turn in range(config.depth):
        key, step_key, keep_key = jax.random.split(key, 3)
        keys = jax.random.split(step_key, nodes.score.shape[0])
        steps = jax.vmap(
            lambda one_key, node, turn=turn: continued(one_key, node, turn, known, config, hyper)
        )(keys, nodes)
        score, alive = steps.score.reshape(-1), steps.alive.reshape(-1)
        count = 1 if turn == config.depth - 1 else min(config.kept, score.size)
        places, exists = highest(keep_key, score, alive, count)
        origin = jax.tree.map(lambda leaf, of=places // config.proposals: leaf[of], nodes)
        item, feedback = steps.item.reshape(-1)[places], steps.feedback.reshape(-1)[places]
        nodes = origin.replace(first=item if turn == 0 else origin.first, score=score[places], alive=exists)
        if turn < config.depth - 1:
            nodes = jax.vmap(lambda node, *step: reached(node, step[0], step[1], known))(
                nodes, item, feedback
            )
    first: Int[Array, ""] = nodes.first[0]
    return first


@dataclass(frozen=True)
class SearchServer(FrozenLearner):
    """Searches anew in every turn; nothing is learnt online but a session's taste."""

    config: SearchConfig = SearchConfig()

    def init(self, key: PRNGKeyArray, hyper: SearchHyper, data: Data, start: tuple[()]) -> FrozenState:
        """Calibrates the model of the feedback by recorded sessions, and opens B sessions."""
        del start
        assert data.logged is not None
        weights = item_weights(data.fitted, calibrate(data.fitted, answers(data.fitted, data.logged)))
        return FrozenState((weights,), self.open(key, self.searching(weights, hyper, data.hidden()), data))

    def actor(self, run: FrozenState, hyper: SearchHyper, data: Data, greedy: Flag = False) -> Actor:
        """It has no other version."""
        del greedy
        return self.searching(run.params[0], hyper, data)

    def searching(self, weights: Float[Array, "N k+1"], hyper: SearchHyper, data: Data) -> Actor:
        """The search as an actor that remembers sessions whole."""
        slots, num_items = self.scene.simulator.config.turn_cap, self.scene.num_items
        table = data.prior
        assert table is not None, "this method reads the preference table"

        def one_user(row: tuple[PRNGKeyArray, Memory, Situation]) -> Int[Array, ""]:
            key, memory, seen = row
            known = Knowledge(table[seen.user], weights, data.fitted, data.likeness)
            return searched(key, memory, seen.action_mask(num_items), known, self.config, hyper)

        def act(keys: PRNGKeyArray, recall: Memory, situation: Situation) -> tuple[Array, Any]:
            return jax.lax.map(one_user, (keys, recall, situation), batch_size=ROWS), ()

        return Actor(
            jax.vmap(lambda seen: opened(seen, slots, num_items)),
            jax.vmap(lambda memory, *interaction: memory.after(*interaction)), act, user_keys,
        )  # fmt: skip


@register("slinvit")
@dataclass(frozen=True)
@checked
class Slinvit:
    """SLINVIT: a short search at serving time, proposals by the preference table, values by a model of the feedback.

    As published: in each state the likeliest proposals are tried, P is the softmax of their scores, the paths of the highest
    alpha P + V are gone on with, the first action of the best one is executed, and nothing of the search is kept. Decided here:
    the table proposes, not a language model asked in every state, so a user's scores are the same in all of them; V of a leaf is
    the discounted feedback that is expected on the way to it, as the count of reached sub-goals there, for nothing more is known
    of what follows; that feedback is predicted by the factors of the logs, calibrated by recorded sessions, with the taste of the
    session so far. In the search items are answered as expected, nobody leaves, and nothing too like an item follows it, however
    many turns later that would be. The depth is 1 or 2, beyond which the model knows of nothing new; alpha is .1.
    """

    search: Annotated[SearchConfig, Flat] = SearchConfig()
    """Its size."""
    factors: Annotated[FactorsConfig, Flat] = FactorsConfig()
    """The factorisation of the offline logs that predicts the feedback."""
    hyper: Annotated[SearchHyper, Flat] = field(default_factory=SearchHyper)
    """Its numbers."""
    look: bool = True
    """Whether what is too like the last recommended items is not recommended, nor planned."""

    card: ClassVar[Card] = Card(
        "SLINVIT", "a search over the table's proposals by their expected feedback, no learning online", PREFERENCES,
        learns_online=False, stochastic=False, paper="arXiv 2402.16181",
        rivals=(
            Rival("table_planner", "mean_reward", "Does a search by expected feedback earn more than the table's best item?"),
            Rival("mf_planner", "mean_reward", "Do the table's proposals earn more than the factors alone?"),
            Rival("linvit", "initial_reward", "Does the search start above the table as a prior of what is learnt?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Fitted on the host, then measured."""
        del study
        needs = online_needs(self.look) | {Need.PRIOR, Need.RECORDED}
        fit = OfflineFit(fit_fold_in, self.factors)
        return (
            Stage("slinvit", SearchServer, self.search, self.hyper, needs, fitted=fit, budget=Budget.MEASURE),
        )
