"""Sim-OPRL: which judgements to buy, found by policies that are rolled out in a pessimistic model of the feedback.

    r_j(s, a) = sigmoid(theta_j . (phi(s, a) - phi(s, mean item))) - lambda_T u_T(s, a)           (arXiv 2406.18450)

The theta_j are an ensemble of Bradley-Terry rewards, u_T is how far models of the feedback disagree. One policy is learnt for each
r_j; the judge is asked in states of theirs about the items of those two on whose returns the rewards disagree most. Served is a
further policy, learnt for the mean of the r_j less lambda_R u_R, how far they disagree.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.learning.losses import actor_critic_loss
from ialp_jax.learning.optimiser import gradient_step, optimiser
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
from ialp_jax.methods.learners.asking_judge import (
    affordable,
    judged,
    most_disputed,
    most_disputed_pair,
    returns_of,
)
from ialp_jax.methods.learners.frozen import FrozenNetwork
from ialp_jax.methods.learners.judged_rewards import (
    fit_owned,
    imagined_by,
    noting_windows,
    reward_chances,
    seen_in,
)
from ialp_jax.methods.learners.many_heads import ManyHeads, headed, many_heads, with_head
from ialp_jax.methods.learners.serving import ServingLearner, learning_key
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, item_distribution, policy_actor
from ialp_jax.ranges import Count, Rate, Weight, at_least
from ialp_jax.recommenders.calibration import answers
from ialp_jax.recommenders.comparisons import Comparisons, fit_rewards, no_comparisons
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.feedback_ensemble import disagreement, fit_members, member_feedback, pair_rows
from ialp_jax.recommenders.fold_in import OfflineFactors, tastes
from ialp_jax.recommenders.regression import Evidence, in_turn
from ialp_jax.serving.rollout import Served, Serving
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.serving.shares import average, total
from ialp_jax.values import checked
from ialp_jax.worlds.types import Observation


@struct.dataclass
class QueryHyper(GradientHyper):
    """Numbers of the policies, of the rewards and of what is charged for not knowing."""

    feedback_penalty: Weight = 0.5
    """lambda_T: what a disagreement of 1 between models of the feedback costs."""
    reward_penalty: Weight = 0.5
    """lambda_R: what a disagreement of 1 between the rewards costs the policy that is served."""
    prior_variance: Rate = 1.0
    """v: variance of every weight of a reward before anything was asked."""
    judge_temperature: Weight = 0.0
    """T: of two items the first is preferred with probability sigmoid((L_first - L_second) / T); 0 for the higher score."""


@dataclass(frozen=True)
@checked
class QueryConfig:
    """What decides the program."""

    budget: Count = 1000
    """Judgements that are bought, each one call of the judge about two items of one user."""
    rewards: Annotated[int, at_least(2)] = 3
    """J: rewards, and policies that are learnt to ask."""
    members: Annotated[int, at_least(2)] = 5
    """Models of the feedback."""


def planning_rewards(
    chances: Float[Array, "J R"], unsure: Float[Array, "R"], hyper: QueryHyper
) -> Float[Array, "P R"]:
    """r_j - lambda_T u_T of the J asking policies; last, of the one that is served, their mean less lambda_R u_R too."""
    served = jnp.mean(chances, axis=0) - hyper.reward_penalty * disagreement(chances)
    return jnp.concatenate([chances, served[None]]) - hyper.feedback_penalty * unsure[None]


@struct.dataclass
class QueryState:
    """Everything that changes, and what is fitted once.

    Attributes:
        members: what the models of the feedback know.
        users: tastes of the imagined users.
        theta: weights of the rewards.
        before: their prior means.
        asked: the judgements so far.
    """

    params: dict
    optimiser: optax.OptState
    serving: Serving
    key: PRNGKeyArray
    members: Evidence
    users: Float[Array, "U k"]
    theta: Float[Array, "J d"]
    before: Float[Array, "J d"]
    asked: Comparisons


@dataclass(frozen=True)
class QueryLearner(ServingLearner):
    """Learns J + 1 policies among imagined users, and asks."""

    config: QueryConfig = QueryConfig()

    def __post_init__(self) -> None:
        policies, users = self.config.rewards + 1, self.scene.stream.users
        if users < policies:
            raise InputError(f"{policies} policies cannot share {users} users", column="pretrain.users",
                             fix=f"serve {policies} or more at once, or use fewer rewards")  # fmt: skip

    @property
    def network(self) -> ManyHeads:
        """Of all policies; the last is the one that is served."""
        return headed(self.scene.network, self.config.rewards + 1, self.scene.stream.users)

    @property
    def questions(self) -> int:
        """Most questions of one update: the budget is spent in the first half of the updates, where it can be."""
        return min(self.scene.stream.users, -(-self.config.budget // max(self.updates // 2, 1)))

    @property
    def judgements(self) -> int:
        """Most calls of the judge in a whole run."""
        return min(self.config.budget, self.questions * self.updates)

    def init(self, key: PRNGKeyArray, hyper: QueryHyper, data: Data, start: tuple[dict]) -> QueryState:
        """Fresh heads on the parameters in `start`, the models of the feedback, and rewards by their prior."""
        assert data.logged is not None
        world, factors = data.users_world, data.fitted.factors
        own, head_key, member_key, prior_key, bank_key = jax.random.split(learning_key(key), 5)
        params = many_heads(
            head_key, self.scene.network, start[0], self.network.heads, world.initial_items.shape[1]
        )
        members = fit_members(member_key, factors, answers(factors, data.logged), self.config.members)
        shape = (self.config.rewards, members.pull.shape[1])
        before = jnp.sqrt(hyper.prior_variance) * jax.random.normal(prior_key, shape)
        users = tastes(
            factors, Observation(world.initial_items, in_turn(world.initial_feedback, members.pull))
        )
        asked = no_comparisons(bank_key, self.judgements, shape[1], shape[0])
        serving = self.open(key, noting_windows(self.network, params), data)
        return QueryState(
            params, optimiser().init(params), serving, own, members, users, before, before, asked
        )

    def update(self, run: QueryState, hyper: QueryHyper, data: Data) -> tuple[QueryState, dict[str, Array]]:
        """Serves a rollout in the world of one model of the feedback, takes a gradient step, then asks and fits anew."""
        key, member_key, ask_key = jax.random.split(run.key, 3)
        weights = run.members.mean
        member = weights[jax.random.randint(member_key, (), 0, self.config.members)]
        world = imagined_by(data.users_world, data.fitted.factors, member, run.users)
        data = data.replace(world=world)  # type: ignore[attr-defined]

        def loss(params: dict) -> tuple[Array, tuple[Served, Array, dict[str, Array]]]:
            served = self.serve(run.serving, noting_windows(self.network, params), data)
            now, chances, told = self.rewarded(
                run.theta, weights, served.transitions, data.fitted.factors, hyper
            )
            value, (metrics, _) = actor_critic_loss(
                params, self.network, now.recall, now.reached, now, now.extras.statistics, None, hyper
            )
            return value, (served, chances, metrics | told)

        gradients, (served, chances, metrics) = jax.grad(loss, has_aux=True)(run.params)
        gradients, metrics = average((gradients, metrics))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        run = run.replace(optimiser=state, serving=served.serving, key=key)  # type: ignore[attr-defined]
        asked = self.ask(ask_key, run, chances, hyper, data)
        theta = fit_rewards(run.theta, run.before, asked, hyper.prior_variance)
        run = run.replace(params=params, asked=asked, theta=theta)  # type: ignore[attr-defined]
        return run, metrics | told | {"judgements": asked.count.astype(jnp.float32)}

    def rewarded(
        self, theta: Array, weights: Array, now: Transition, factors: OfflineFactors, hyper: QueryHyper
    ) -> tuple[Transition, Float[Array, "J R"], dict[str, Array]]:
        """A rollout [T, B] with each policy's own reward, what each reward thinks of it, and metrics."""
        rows, (taste, item) = now.action.size, seen_in(now, factors)
        chances = reward_chances(theta, factors, taste, item)
        unsure = disagreement(member_feedback(factors, weights, taste, item[:, None]))[:, 0]
        paid = ~now.terminated.reshape(-1) | self.scene.simulator.config.pay_on_departure
        chances, unsure = jnp.where(paid, chances, 0.0), jnp.where(paid, unsure, 0.0)
        every = planning_rewards(chances, unsure, hyper)
        own = every[self.network.of_row(rows), jnp.arange(rows)].reshape(now.action.shape)
        told = {"unsure": jnp.mean(unsure), "disagreement": jnp.mean(disagreement(chances))}
        return now.replace(reward=own), chances, told  # type: ignore[attr-defined]

    def ask(
        self, key: PRNGKeyArray, run: QueryState, chances: Float[Array, "J R"], hyper: QueryHyper, data: Data
    ) -> Comparisons:
        """The judgements with those that are bought now, in the states that the rollout has reached."""
        assert data.prior is not None, "its judge is the preference table"
        heads, (first_key, second_key, judge_key) = self.network, jax.random.split(key, 3)
        turns = chances.shape[1] // run.serving.sessions.reward.shape[0]
        sums, served = total(returns_of(chances, heads.of_row(chances.shape[1]), heads.heads, turns))
        pair = most_disputed_pair((sums / served[None])[:, : self.config.rewards])
        sessions, world = run.serving.sessions, data.users_world
        situation = jax.vmap(self.scene.simulator.situation, (0, None))(sessions.state, world)
        items = [
            item_distribution(
                self.scene.network, with_head(run.params, place), sessions.recall, situation
            ).sample(seed=one)
            for place, one in zip(pair, (first_key, second_key), strict=True)
        ]
        factors, users = data.fitted.factors, data.fitted.row(sessions.state.user, world)
        seen = situation.observation
        taste = tastes(factors, Observation(seen.items, in_turn(seen.feedback, sums)))
        difference = pair_rows(factors, taste, items[0]) - pair_rows(factors, taste, items[1])
        asked = most_disputed(run.theta, users, items[0], items[1], difference, self.questions)
        given = affordable(asked, run.asked.count, self.judgements)
        return run.asked.add(
            asked.difference, judged(judge_key, asked, data.prior, hyper.judge_temperature), given
        )

    def actor(self, run: QueryState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy that is served in the end."""
        del hyper, data
        return policy_actor(self.scene.network, self.product(run), greedy)

    def product(self, run: QueryState) -> dict:
        """Its parameters, of the plain network."""
        return with_head(run.params, self.config.rewards)


@register("sim_oprl")
@dataclass(frozen=True)
@checked
class SimOPRL:
    """Sim-OPRL: judgements are bought where policies' returns disagree, and a pessimistic policy is learnt of them; then frozen.

    Decided here: the judge is the preference table, which answers by its scores of the two items. The costs shown are those of the
    whole table, since it had to be there; the metric `judgements` of its pre-training says how many of its answers were bought. A
    question is about single items in one state, not about trajectories. The session is a known function of the answers, so only
    the feedback has an ensemble: linear models of recorded answers, whose Bayesian bootstraps disagree by u_T; every rollout is
    in the world of one of them. That world's users, histories and rules of leaving are those the logs suggest. Rewards are linear in
    features of user and item, refitted after every batch of questions; their priors' means are drawn. A reward is
    the chance to be preferred to the mean item. Policies are heads on one encoder, improved by one step of actor-critic per rollout, not
    solved anew; returns are those of the last rollout. No confidence sets. The weights lambda and the budget are not the paper's.
    """

    config: Annotated[QueryConfig, Flat] = QueryConfig()
    """Its budget and its ensembles."""
    factors: FactorsConfig = FactorsConfig()
    """The factorisation of the offline logs that users and items are described by."""
    hyper: Annotated[QueryHyper, Flat] = field(default_factory=QueryHyper)
    """Its numbers."""
    look: bool = True
    """Whether what is too like the last recommended items is not recommended, in pre-training and afterwards."""

    card: ClassVar[Card] = Card(
        "Sim-OPRL", "pre-trained on judgements bought where simulated policies disagree, frozen", PREFERENCES,
        learns_online=False, paper="arXiv 2406.18450",
        rivals=(
            Rival("ialp", "initial_reward", "Does a policy of few bought judgements start above iALP on the whole table?"),
            Rival("table_planner", "mean_reward", "Does it earn more than the table's best item, with a look?"),
            Rival("roler", "mean_reward", "Do judgements earn more than recorded answers shaped into rewards?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Asking and learning among imagined users, then the policy as it is."""
        del study
        needs = frozenset({Need.LOGS_WORLD, Need.PRIOR, Need.RECORDED}) | (
            online_needs(self.look) - {Need.USERS}
        )
        first = Stage("Sim-OPRL pre-training", QueryLearner, self.config, self.hyper, needs, (UNTRAINED,),
                      OfflineFit(fit_owned, self.factors), Budget.PRETRAIN)  # fmt: skip
        return first, Stage(
            "sim_oprl", FrozenNetwork, needs=online_needs(self.look), after=(first,), budget=Budget.MEASURE
        )
