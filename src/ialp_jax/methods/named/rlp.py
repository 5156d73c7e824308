"""RLP: a learnt reward, refreshed on samples of the policy that it taught, which then learns anew; with both controls.

    L = -E_(D and D^) log sigmoid(r(s, winner) - r(s, loser))          (Lang et al. 2024, arXiv 2403.19279)

D are judgements of the preference table. D^ are pairs of items that the policy itself would recommend in states that it visits:
labelled by its own samples (`learners/self_labels.py`) or, as a control, by the table; the other control has none.
"""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.marks import Only
from ialp_jax.methods.base import (
    UNTRAINED,
    Budget,
    Card,
    Common,
    Data,
    OfflineFit,
    Rival,
    Stage,
    online_needs,
)
from ialp_jax.methods.families import PREFERENCES
from ialp_jax.methods.learners.asking_judge import Questions, judged
from ialp_jax.methods.learners.frozen import FrozenNetwork
from ialp_jax.methods.learners.judged_rewards import fit_owned, reward_chances
from ialp_jax.methods.learners.rewarded import (
    Reward,
    RewardedHyper,
    RewardedLearner,
    RewardHyper,
    first_reward,
)
from ialp_jax.methods.learners.self_labels import self_label
from ialp_jax.methods.learners.serving import ServingLearner, learning_key
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, item_distribution, policy_actor
from ialp_jax.ranges import Count, Weight, at_least
from ialp_jax.recommenders.clusters import clusters_of
from ialp_jax.recommenders.comparisons import fit_rewards
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.feedback_ensemble import pair_rows
from ialp_jax.recommenders.fold_in import OfflineFactors, tastes
from ialp_jax.serving.rollout import Serving
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average, draw, gather, user_keys
from ialp_jax.values import checked


@struct.dataclass
class RefreshHyper(RewardHyper):
    """Numbers of the refresh."""

    confidence: Annotated[Weight, Only("refresh", "samples")] = 0.5
    """gamma: the least share of a state's samples in their largest group; above 1 nothing is learnt of them."""


@struct.dataclass
class RLPHyper(RewardedHyper, RefreshHyper):
    """Numbers of all stages."""


@dataclass(frozen=True)
@checked
class RLPConfig:
    """What decides the programs."""

    refresh: Literal["samples", "table", "none"] = "samples"
    """What the reward is refreshed by, in states that the policy visits: its own samples, the table asked again, or nothing."""
    judgements: Count = 1000
    """Judgements of the table that the reward is first learnt from: two items, any, of an offline user, any."""
    pairs: Count = 1000
    """Pairs of the refresh; each is a judgement more where the table is asked again."""
    samples: Annotated[int, at_least(2)] = 10
    """n: items that the policy draws in a state."""
    clusters: Annotated[int, at_least(2), Only("refresh", "samples")] = 16
    """Groups of items by their factors, which stand for their meaning."""


@struct.dataclass
class RefreshState:
    """What changes while a frozen policy serves, and the groups of the items, which do not."""

    params: dict
    serving: Serving
    key: PRNGKeyArray
    reward: Reward
    group: Int[Array, "N"]


@dataclass(frozen=True)
class RefreshLearner(ServingLearner):
    """A frozen policy visits states; pairs of its samples there join what the reward is learnt from."""

    config: RLPConfig = RLPConfig()

    def init(self, key: PRNGKeyArray, hyper: RefreshHyper, data: Data, start: tuple[dict]) -> RefreshState:
        """The judgements are those of the policy's stage: both begin with the same key."""
        own = learning_key(key)
        reward = first_reward(own, hyper, data, self.config.judgements, self.config.pairs)
        group = clusters_of(jax.random.fold_in(own, 1), data.fitted.factors.item, self.config.clusters)
        serving = self.open(key, policy_actor(self.scene.network, start[0]), data)
        return RefreshState(start[0], serving, jax.random.fold_in(own, 2), reward, group)

    def update(
        self, run: RefreshState, hyper: RefreshHyper, data: Data
    ) -> tuple[RefreshState, dict[str, Array]]:
        """Serves a rollout, labels pairs of samples in the states it has reached, and fits the reward to all pairs."""
        served = self.serve(run.serving, policy_actor(self.scene.network, run.params), data)
        run = run.replace(serving=served.serving)  # type: ignore[attr-defined]
        key, sample_key, label_key, order_key, judge_key = jax.random.split(run.key, 5)
        sessions, world, factors = served.serving.sessions, data.users_world, data.fitted.factors
        seen = jax.vmap(self.scene.simulator.situation, (0, None))(sessions.state, world)
        policy = item_distribution(self.scene.network, run.params, sessions.recall, seen)
        items = policy.sample(seed=sample_key, sample_shape=(self.config.samples,)).T
        taste = tastes(factors, seen.observation)
        winner, loser, good, told = self.labelled(label_key, run, hyper, taste, items, factors)
        difference = pair_rows(factors, taste, winner) - pair_rows(factors, taste, loser)
        order = jnp.where(good, draw(jax.random.uniform, order_key, good.shape), -1.0)
        pairs = Questions(data.fitted.row(sessions.state.user, world), winner, loser, difference, order)
        pairs = best_of(gather(pairs), self.config.pairs, self.updates)
        answer = jnp.ones(pairs.spread.shape)
        if self.config.refresh == "table":
            assert data.prior is not None
            answer = judged(judge_key, pairs, data.prior, hyper.judge_temperature)
        asked = run.reward.asked.add(pairs.difference, answer, pairs.spread >= 0.0)
        theta = fit_rewards(run.reward.theta, jnp.zeros_like(run.reward.theta), asked, hyper.prior_variance)
        metrics = average(told | {"reward": jnp.mean(served.transitions.reward)})
        metrics["pairs"] = (asked.count - self.config.judgements).astype(jnp.float32)
        return run.replace(key=key, reward=Reward(theta, asked)), metrics  # type: ignore[attr-defined]

    def labelled(
        self,
        key: PRNGKeyArray,
        run: RefreshState,
        hyper: RefreshHyper,
        taste: Float[Array, "B k"],
        items: Int[Array, "B n"],
        factors: OfflineFactors,
    ) -> tuple[Int[Array, "B"], Int[Array, "B"], Bool[Array, "B"], dict[str, Array]]:
        """Two of every state's samples, whether they are a pair, and metrics; the first is the better one unless the table is asked."""
        take = lambda place: jnp.take_along_axis(items, place[:, None], axis=1)[:, 0]  # noqa: E731
        if self.config.refresh == "table":
            other = items != items[:, :1]
            good = jnp.any(other, axis=1)
            return (
                items[:, 0],
                take(jnp.argmax(other, axis=1)),
                good,
                {"accepted": jnp.mean(good.astype(jnp.float32))},
            )
        each = jnp.repeat(taste, items.shape[1], axis=0)
        reward = reward_chances(run.reward.theta, factors, each, items.reshape(-1)).reshape(items.shape)
        keys = user_keys(key, items.shape[0])
        found = jax.vmap(self_label, (0, 0, 0, None))(keys, run.group[items], reward, hyper.confidence)
        told = {
            "accepted": jnp.mean(found.accepted.astype(jnp.float32)),
            "confidence": jnp.mean(found.confidence),
        }
        return take(found.winner), take(found.loser), found.accepted, told

    def actor(self, run: RefreshState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy, which does not move."""
        del hyper, data
        return policy_actor(self.scene.network, run.params, greedy)

    def product(self, run: RefreshState) -> Reward:
        """The refreshed reward."""
        return run.reward


def best_of(pairs: Questions, wanted: int, updates: int) -> Questions:
    """Those of the highest `spread`, as many as each of so many updates must give for `wanted` in all; at most all."""
    count = min(pairs.spread.shape[0], -(-wanted // updates))
    places = jax.lax.top_k(pairs.spread, count)[1]
    chosen: Questions = jax.tree.map(lambda leaf: leaf[places], pairs)
    return chosen


def part(of: type[Any], numbers: RLPHyper) -> Any:
    """The numbers that one stage reads."""
    return of(**{one.name: getattr(numbers, one.name) for one in fields(of)})


@register("rlp")
@dataclass(frozen=True)
@checked
class RLP:
    """RLP: a reward learnt from judgements, refreshed on what its own policy samples; the policy then learns anew, and is frozen.

    As published: a Bradley-Terry reward, n samples of the policy in each state, the largest group of equal meaning, accepted where
    its share is gamma or more, its member of the highest reward against any of the other groups, and a policy that starts again
    where the first one started. Decided here: a state is a user's in mid-session, in the world of the logs; the meaning of an item
    is its cluster by the factors; the reward is linear in features of user and item, and what it pays is the chance to be preferred
    to the mean item; pairs are labelled by the reward as it stands, fitted anew after each rollout; policies start untrained, and
    the entropy bonus is the divergence from that start, which is all but uniform; the view-based loss is left out, for it draws
    the rewards of different items together. That a policy's commonest samples are better is plausible for answers to a
    question, not for recommendations: it strengthens what is recommended most. Hence two controls: `refresh` none, and
    `refresh` table, which asks the judge again in the same states. The judge is the preference table, which is charged as a whole.
    """

    config: Annotated[RLPConfig, Flat] = RLPConfig()
    """Its judgements and its refresh."""
    factors: FactorsConfig = FactorsConfig()
    """The factorisation of the offline logs that users and items are described by."""
    hyper: Annotated[RLPHyper, Flat] = field(default_factory=RLPHyper)
    """Its numbers."""
    look: bool = True
    """Whether what is too like the last recommended items is not recommended, in pre-training and afterwards."""

    card: ClassVar[Card] = Card(
        "RLP", "pre-trained by a reward that is refreshed on the policy's own samples, frozen", PREFERENCES, learns_online=False,
        paper="arXiv 2403.19279",
        rivals=(
            Rival("ialp", "initial_reward", "Does a reward of few judgements, refreshed, start above iALP on the whole table?"),
            Rival("sim_oprl", "mean_reward", "Do own samples earn more than judgements bought where policies disagree?"),
            Rival("table_planner", "mean_reward", "Does it earn more than the table's best item, with a look?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """The reward and a policy; the refresh on its states; a policy anew; then that policy as it is."""
        del study
        look, fit = online_needs(self.look) - {Need.USERS}, OfflineFit(fit_owned, self.factors)
        imagined, judge = look | {Need.LOGS_WORLD}, frozenset({Need.PRIOR})
        asked, numbers = self.config.judgements, self.hyper
        best = Stage("RLP first policy", RewardedLearner, asked, part(RewardedHyper, numbers), imagined | judge,
                     (UNTRAINED,), fit, Budget.PRETRAIN)  # fmt: skip
        before: tuple[Stage, ...] = (best,)
        if self.config.refresh != "none":
            refresh = Stage("RLP refresh", RefreshLearner, self.config, part(RefreshHyper, numbers), imagined | judge,
                            (best,), fit, Budget.PRETRAIN)  # fmt: skip
            best = Stage("RLP second policy", RewardedLearner, 0, part(GradientHyper, numbers), imagined,
                         (UNTRAINED, refresh), fit, Budget.PRETRAIN)  # fmt: skip
            before = (*before, refresh, best)
        return *before, Stage(
            "rlp", FrozenNetwork, needs=online_needs(self.look), after=(best,), budget=Budget.MEASURE
        )
