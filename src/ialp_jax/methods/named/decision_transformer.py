"""Decision Transformer: what a session earned from a turn on is told to a causal transformer, which then imitates; frozen online."""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.row_losses import action_statistics, liked_mean
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, Rival, Stage, online_needs
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.frozen import FrozenLearner, FrozenState
from ialp_jax.methods.learners.offline import OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.session_transformer import (
    Learnt,
    Session,
    SessionTransformer,
    TransformerConfig,
    decision_actor,
    features_of,
    transformer_of,
)
from ialp_jax.ranges import Count, Rate, Weight
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class DecisionConfig(OfflineConfig):
    """What decides the program of its gradient steps."""

    batch: Count = 32
    """Logged sessions in each of them, drawn in proportion to their turns."""
    transformer: Annotated[TransformerConfig, Flat] = TransformerConfig()
    """The transformer."""


@struct.dataclass
class DecisionHyper:
    """Numbers of its gradient steps."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class TargetHyper:
    """What it is asked for while it serves."""

    target: Weight = 1.0
    """Return that is asked of a session, in units of the highest that was logged."""


def live_turns(logged: LoggedSessions) -> Bool[Array, "S L"]:
    """Which turns are no padding."""
    return jnp.arange(logged.action.shape[1])[None] < logged.length[:, None]


def highest_return(logged: LoggedSessions) -> Float[Array, ""]:
    """The highest sum of a logged session's feedback; 1 where nothing was ever liked, every return being 0 then."""
    highest = jnp.max(jnp.sum(jnp.where(live_turns(logged), logged.feedback, 0.0), axis=1))
    return jnp.where(highest > 0.0, highest, 1.0)


def paid_to_go(feedback: Float[Array, "*s L"]) -> Float[Array, "*s L"]:
    """Sum of the feedback from each turn on."""
    return jnp.flip(jnp.cumsum(jnp.flip(feedback, -1), axis=-1), -1)


def logged_batch(
    logged: LoggedSessions, sessions: Int[Array, "B"], highest: Float[Array, ""], num_items: int
) -> tuple[Session, Experience, Bool[Array, "B L"]]:
    """These logged sessions: as the transformer reads them, their turns as rows [B x L], and which of these are no padding.

    Rows that are padding repeat the first turn of their session.
    """
    live = live_turns(logged)[sessions]
    begins = (jnp.cumsum(logged.length, dtype=jnp.int32) - logged.length)[sessions]
    turn = jnp.arange(live.shape[1], dtype=jnp.int32)[None]
    rows = logged.rows((begins[:, None] + jnp.where(live, turn, 0)).reshape(-1), num_items)
    known = jax.tree.map(lambda leaf: leaf[sessions, 0], logged.window)
    feedback = jnp.where(live, logged.feedback[sessions], 0.0)
    read = Session(known, logged.action[sessions], feedback, paid_to_go(feedback) / highest)
    return read, rows, live


def decision_loss(
    params: dict,
    network: Network,
    model: SessionTransformer,
    batch: tuple[Session, Experience, Bool[Array, "B L"]],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """-mean(log pi(a_t | R_t, what came before)) over the turns of logged sessions (arXiv 2106.01345); (loss, metrics)."""
    sessions, rows, live = batch
    features = features_of(model, params, sessions)
    features = features.reshape(rows.action.shape[0], features.shape[-1])
    log_prob, entropy = action_statistics(network, params, features, rows)
    counted = partial(liked_mean, feedback=live.reshape(-1).astype(jnp.float32), liked=1.0)
    loss = -counted(log_prob)
    return loss, {"loss": loss, "entropy": counted(entropy)}


@dataclass(frozen=True)
class DecisionLearner(OfflineLearner):
    """Gradient steps on what was logged, each decision told what its session earned from there on."""

    config: DecisionConfig = DecisionConfig()

    def __post_init__(self) -> None:
        transformer_of(self.scene.network, self.config.transformer)

    def init(self, key: PRNGKeyArray, hyper: DecisionHyper, data: Data, start: tuple[dict]) -> OfflineState:
        """The items start from the parameters in `start`; `target` of the state is the highest logged return."""
        del hyper
        assert data.logged is not None
        logged, shape = data.logged, self.scene.network.module.config
        highest = highest_return(logged)
        first = jnp.zeros(1, jnp.int32)
        example = jax.tree.map(
            lambda leaf: leaf[0], logged_batch(logged, first, highest, self.scene.num_items)[0]
        )
        learn_key, body_key, head_key = jax.random.split(key, 3)
        model = transformer_of(self.scene.network, self.config.transformer)
        # Small: it starts near the uniform policy, whatever it is told.
        head = nn.Dense(shape.embedding, kernel_init=nn.initializers.normal(0.01))
        params = {
            "items": start[0]["items"],
            "bias": start[0]["bias"],
            "query_head": head.init(head_key, jnp.zeros(shape.hidden))["params"],
            "transformer": model.init(body_key, start[0]["items"], example)["params"],
        }
        return OfflineState(params, highest, optimiser().init(params), learn_key, jnp.int32(0))

    def update(
        self, run: OfflineState, hyper: DecisionHyper, data: Data
    ) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        assert data.logged is not None
        key, batch_key = jax.random.split(run.key)
        sessions = data.logged.turns[data.logged.numbers(batch_key, self.config.batch), 0]
        batch = logged_batch(data.logged, sessions, run.target, self.scene.num_items)
        model = transformer_of(self.scene.network, self.config.transformer)
        slope = jax.grad(decision_loss, has_aux=True)
        gradients, metrics = average(slope(run.params, self.scene.network, model, batch))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return OfflineState(params, run.target, state, key, run.update + 1), metrics | told

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands, asked for the highest return that was logged."""
        del hyper, data
        model = transformer_of(self.scene.network, self.config.transformer)
        turns = self.scene.simulator.config.turn_cap
        return decision_actor(self.scene.network, model, self.product(run), 1.0, turns, greedy)

    def product(self, run: OfflineState) -> Learnt:
        """Its parameters, and the unit of its returns."""
        return Learnt(run.params, run.target)


@dataclass(frozen=True)
class DecisionServer(FrozenLearner):
    """The transformer as the logs left it, asked for a return."""

    config: TransformerConfig = TransformerConfig()

    def init(self, key: PRNGKeyArray, hyper: TargetHyper, data: Data, start: tuple[Learnt]) -> FrozenState:
        """Opens B sessions."""
        actor = self.asked(start[0], hyper.target, False)
        return FrozenState(start, self.open(key, actor, data))

    def actor(self, run: FrozenState, hyper: TargetHyper, data: Data, greedy: Flag = False) -> Actor:
        """Samples from its distribution, or takes the mode."""
        del data
        return self.asked(run.params[0], hyper.target, greedy)

    def asked(self, learnt: Learnt, target: Any, greedy: Flag) -> Actor:
        """The policy that is asked for a target."""
        network, turns = self.scene.network, self.scene.simulator.config.turn_cap
        model = transformer_of(network, self.config)
        return decision_actor(network, model, learnt, target, turns, greedy)


@register("decision_transformer")
@dataclass(frozen=True)
@checked
class DecisionTransformer:
    """Decision Transformer on logged sessions, then frozen.

    Decided here: the context is the whole session and the history that it opened with, which stands before it without returns;
    an item and its feedback are one token, so that a turn has two; a return is the undiscounted sum of feedback, for that is
    what a recommender is shown of its users (a rating that was not paid counts too); its unit is the highest that was logged,
    and the target falls by the feedback of every turn, never below 0. Blocks are SASRec's of this package: the layer within
    them has the width itself and ReLU, where the paper has four times the width and GELU; there is no dropout, weight decay or
    warm-up, as in the other methods. Item embeddings are the input's and the output's. What may not be recommended is left
    out of the softmax, in the loss as well. Every turn computes its session anew.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from: a stated logging policy's recorded sessions, or the offline users' own choices."""
    config: Annotated[DecisionConfig, Flat] = DecisionConfig()
    """Its gradient steps and its transformer."""
    hyper: Annotated[DecisionHyper, Flat] = field(default_factory=DecisionHyper)
    """Numbers of its gradient steps."""
    serving: Annotated[TargetHyper, Flat] = field(default_factory=TargetHyper)
    """What it is asked for."""

    card: ClassVar[Card] = Card(
        "Decision Transformer", "imitation of logged sessions by what they earned, asked for a high return, frozen online",
        OFFLINE, learns_online=False, paper="Chen et al. 2021, arXiv 2106.01345",
        rivals=(
            Rival("bc", "mean_reward", "Does asking for a return earn more than behaviour cloning?"),
            Rival("iql", "initial_reward", "Does asking for a return start above IQL?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then the policy as it is."""
        del study
        needs = frozenset({Need.RECORDED if self.source == "recorded" else Need.LOGS})
        learnt = Stage("Decision Transformer offline", DecisionLearner, self.config, self.hyper, needs, (UNTRAINED,),
                       budget=Budget.NONE)  # fmt: skip
        return learnt, Stage("decision_transformer", DecisionServer, self.config.transformer, self.serving,
                             online_needs(False), (learnt,), budget=Budget.MEASURE)  # fmt: skip
