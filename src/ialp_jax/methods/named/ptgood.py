"""PTGOOD: online data are collected by planning, near the learning policy, to what the recorded data do not show.

    score of a_0 = n(s_0, a_0) + gamma mean over sampled answers and a_1 of n(s_1, a_1),    a ~ softmax(logits / noise)

Among w draws near the policy the first item of the highest score is recommended; n is a novelty (`learners/novelty.py`). The
rewards are as they are, and nothing holds the policy near the data (McInroe et al. 2024, arXiv 2310.05723).
"""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience, experience_of, rows_of
from ialp_jax.marks import Only
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, OfflineFit, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.density import DensityConfig, DensityHyper, DensityLearner
from ialp_jax.methods.learners.lagging import LaggingOffline, LaggingState, MixedReplayLearner, ReplayConfig
from ialp_jax.methods.learners.novelty import NOVELTIES, Novelty, NoveltyName
from ialp_jax.methods.learners.offline import OfflineConfig, OfflineState
from ialp_jax.methods.learners.planning import Knowledge, planning_actor
from ialp_jax.methods.learners.soft import CRITICS, SoftHyper, sac_loss, soft_params
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Count, Rate, Share, within
from ialp_jax.recommenders.calibration import answers
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.feedback_ensemble import fit_members
from ialp_jax.recommenders.fold_in import fit_fold_in, tastes
from ialp_jax.recommenders.regression import Evidence
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.values import checked


@struct.dataclass
class PlannerHyper(SoftHyper):
    """Numbers of Soft Actor-Critic and of the planner, whose gamma is the discount."""

    planned: Share = 0.5
    """How often the plan's item is recommended instead of the policy's own draw."""
    noise: Rate = 1.5
    """What the policy's logits are divided by where the planner draws: above 1 it looks wider than the policy."""


@dataclass(frozen=True)
@checked
class PlannerConfig(ReplayConfig):
    """What decides the program of online learning."""

    novelty: NoveltyName = "rate"
    """Where it goes: what a density model of the recorded pairs holds unlike them, what few users of a group have met, or
    anywhere, by chance, which is the control."""
    depth: Annotated[int, within(1, 2)] = 2
    """Recommendations that a plan is long."""
    proposals: Count = 10
    """w: items that are drawn in each state of a plan."""
    answers: Annotated[Count, Only("depth", 2)] = 2
    """Answers that are imagined to each first item."""
    members: Annotated[Count, Only("depth", 2)] = 5
    """Models of the feedback, of which each imagined answer asks one."""


@struct.dataclass
class PlanningState(LaggingState):
    """As any learner with a lagging copy; the models of the feedback, and what the novelty knows."""

    members: Evidence | None
    known: Any


@dataclass(frozen=True)
class PlanningOffline(LaggingOffline):
    """Soft Actor-Critic on logged sessions."""

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[dict]) -> OfflineState:
        """The policy starts from the parameters in `start`, the critics apart from each other."""
        assert data.logged is not None
        width = data.logged.window.items.shape[-1]
        apart = jax.random.fold_in(key, 2)
        params = soft_params(apart, self.scene.network, start[0], CRITICS, hyper, width)
        return super().init(key, hyper, data, (params,))

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`sac_loss`, which draws nothing."""
        del key
        return sac_loss(params, target, network, rows, hyper)

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands."""
        del hyper, data
        return window_actor(self.scene.network, run.params["actor"], greedy)


@dataclass(frozen=True)
class PlanningOnline(MixedReplayLearner):
    """Serves users by the policy and by plans, and goes on learning from them and from the logs."""

    config: PlannerConfig = PlannerConfig()

    @property
    def novelty(self) -> Novelty:
        """Where plans go."""
        return NOVELTIES[self.config.novelty]

    def init(
        self, key: PRNGKeyArray, hyper: PlannerHyper, data: Data, start: tuple[Any, ...]
    ) -> PlanningState:
        """Opens B sessions; goes on from what was learnt on the logs, with models of the feedback of recorded sessions."""
        assert data.logged is not None
        (params, target), *fitted = start
        fresh = {"log_temperature": jnp.log(jnp.float32(hyper.temperature))}
        params, target = params | fresh, target | fresh
        given = answers(data.fitted, data.logged)
        member_key, novel_key = jax.random.split(jax.random.fold_in(key, 3))
        members = (
            fit_members(member_key, data.fitted, given, self.config.members)
            if self.config.depth > 1
            else None
        )
        known = self.novelty.begin(novel_key, given, data.fitted.item, tuple(fitted))
        actor = self.planning(params["actor"], members, known, hyper, data.hidden())
        state = self.begin(key, params, target, actor, data)
        return PlanningState(**vars(state), members=members, known=known)

    def planning(
        self, actor: dict, members: Evidence | None, known: Any, hyper: PlannerHyper, data: Data,
        greedy: Flag = False,
    ) -> Actor:  # fmt: skip
        """The policy and its plans as an actor."""
        knowledge = Knowledge(data.fitted, None if members is None else members.mean, self.novelty, known)
        return planning_actor(self.scene.network, actor, knowledge, self.config, hyper, greedy)

    def actor(self, run: Any, hyper: PlannerHyper, data: Data, greedy: Flag = False) -> Actor:
        """As it explores; greedily the policy's mode."""
        return self.planning(run.params["actor"], run.members, run.known, hyper, data, greedy)

    def experience(self, transitions: Transition) -> Experience:
        """Without propensities, which nothing here reads."""
        return experience_of(transitions, transitions.extras.window, jnp.zeros(transitions.reward.shape))

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`sac_loss`, which draws nothing."""
        del key
        return sac_loss(params, target, network, rows, hyper)

    def told(self, transitions: Transition) -> dict[str, Array]:
        """How often a plan was followed, and by how much more novel it was than the mean of what was drawn."""
        now = transitions.extras
        return {"planned": jnp.mean(now.planned.astype(jnp.float32)), "gain": jnp.mean(now.gain)}

    def noted(self, run: PlanningState, transitions: Transition, data: Data) -> PlanningState:
        """What the rollout adds to what the novelty knows."""
        window, item = rows_of((transitions.extras.window, transitions.action))
        known = self.novelty.after(run.known, tastes(data.fitted, window), item)
        return run.replace(known=known)  # type: ignore[attr-defined, no-any-return]

    def product(self, run: LaggingState) -> tuple[dict, dict]:
        """Its parameters and the lagging copy."""
        return run.params, run.target


@register("ptgood")
@dataclass(frozen=True)
@checked
class PTGood:
    """PTGOOD: Soft Actor-Critic that has learnt from logs, and explores online by plans away from those logs.

    As published: proposals are drawn near the learning policy, the first item of the highest summed novelty over its subtree is
    recommended, rewards and losses are untouched, and novelty is the rate of a conditional entropy bottleneck trained on the
    recorded pairs. Decided here: noise on actions is a temperature of the policy's logits, which is Gumbel noise on them; a plan is
    one or two items long (five there), for the models of the feedback know of nothing new beyond; these are an ensemble of linear
    ones, fitted to recorded sessions, of which each imagined answer asks one; nobody leaves in a plan, so that the mean rate need not
    be subtracted, and the absolute value that the public code takes in the first level is left out, since it would seek what is
    all too well recorded; a pair is the taste that a window folds in to, beside the item's factors; m is N(0, 1), not a mixture;
    alpha begins anew online; imagined experience is left out, so that gradient steps read logged and own turns; the width is a temperature of 1.5 and half
    of the turns are planned, which no source says. `planned` 0 is the same learner without plans, `novelty` chance plans for nothing.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from beforehand: a stated logging policy's recorded sessions, or the offline users' own choices."""
    offline: OfflineConfig = OfflineConfig()
    """Gradient steps on logged sessions."""
    density: DensityConfig = DensityConfig()
    """The density model, where novelty is its rate."""
    density_hyper: DensityHyper = field(default_factory=DensityHyper)
    """Its numbers."""
    online: PlannerConfig = PlannerConfig()
    """Online learning and plans."""
    factors: FactorsConfig = FactorsConfig()
    """The factorisation of the offline logs that users and items are described by."""
    hyper: Annotated[PlannerHyper, Flat] = field(default_factory=PlannerHyper)
    """Numbers of Soft Actor-Critic, offline and online, and of the plans."""

    card: ClassVar[Card] = Card(
        "PTGOOD", "learns from logs, then explores by plans away from them, learns online", OFFLINE, learns_online=True,
        paper="McInroe et al. 2024, arXiv 2310.05723",
        curves={"gain": "novelty of the plan above that of its proposals", "entropy": "entropy of the policy (nats)"},
        rivals=(
            Rival("rlpd", "final_reward", "Does planning away from the logs end above RLPD?"),
            Rival("sac_discrete", "mean_reward", "Do logs and plans earn more than Soft Actor-Critic without them?"),
            Rival("a_ialp_ap_value", "final_reward", "Does planning away from the logs end above A-iALP_ap?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Soft Actor-Critic and, where novelty is its rate, the density model on logged sessions; then online."""
        del study
        logged = Need.RECORDED if self.source == "recorded" else Need.LOGS
        fit = OfflineFit(fit_fold_in, self.factors)
        soft = SoftHyper(*(getattr(self.hyper, number.name) for number in fields(SoftHyper)))  # type: ignore[arg-type]
        needs = frozenset({logged})
        first = Stage(
            "PTGOOD pre-training",
            PlanningOffline,
            self.offline,
            soft,
            needs,
            (UNTRAINED,),
            budget=Budget.NONE,
        )
        before: tuple[Stage, ...] = (first,)
        if self.online.novelty == "rate":
            numbers = self.density_hyper
            before += (
                Stage(
                    "PTGOOD density",
                    DensityLearner,
                    self.density,
                    numbers,
                    needs,
                    fitted=fit,
                    budget=Budget.NONE,
                ),
            )
        return *before, Stage(
            "ptgood", PlanningOnline, self.online, self.hyper, needs | {Need.USERS}, before, fit
        )
