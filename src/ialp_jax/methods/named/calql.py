"""Calibrated conservative Q-learning: CQL whose Q is not pushed below what sessions went on to pay; then online."""

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.learning.experience import Experience, joined
from ialp_jax.learning.logged import discounted, paid_in_logs
from ialp_jax.learning.replay import Replay
from ialp_jax.learning.row_losses import window_features
from ialp_jax.methods.base import Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.action_values import (
    ExploringReplayConfig,
    GreedyOffline,
    GreedyOnline,
    double_q_error,
)
from ialp_jax.methods.learners.lagging import LaggingLoss, stages_from_logs
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import MASKED, catalogue_distribution
from ialp_jax.ranges import Rate, Share, Weight
from ialp_jax.serving.sessions import Transition
from ialp_jax.values import checked

LEAST = -1e20
"""Log-probabilities below it are those of items that may not be recommended."""


@struct.dataclass
class CalQLHyper:
    """Numbers of calibrated conservative Q-learning."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    conservatism: Weight = 1.0
    """alpha: how much Q is pushed down at what was not done, as far as the reference; 0 is double Q-learning."""
    target_rate: Share = 0.005
    """Share by which the lagging copy follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class EndedTurn(Experience):
    """Decisions [...] as they are kept.

    Attributes:
        done: the session ended with it, either way.
    """

    done: Bool[Array, "*s"]


@struct.dataclass
class FollowedTurn(Experience):
    """Decisions [...] with what their sessions went on to pay.

    Attributes:
        paid: rewards of this turn and of the L - 1 next ones; 0 after a session's end, and where it still goes on.
    """

    paid: Float[Array, "*s L"]

    def returns(self, discount: Float[Array, ""] | float) -> Float[Array, "*s"]:
        """V_ref: the discounted sum of what was paid. A session that was cut or goes on is worth no less, if no reward is
        negative."""
        return discounted(self.paid, discount)


def followed(rows: Experience, paid: Float[Array, "*s L"]) -> FollowedTurn:
    """The rows with what was paid from each on."""
    return FollowedTurn(**{one.name: getattr(rows, one.name) for one in fields(Experience)}, paid=paid)


def paid_in_replay(replay: Replay, slots: Int[Array, "B n"], turns: int) -> Float[Array, "B*n L"]:
    """The same of kept turns, whose users' rings hold one session after the other; the newest may still go on."""
    kept: EndedTurn = replay.turns.experience
    users, capacity = kept.action.shape
    oldest = replay.added - jnp.minimum(replay.added, capacity)
    number = oldest + (slots - oldest) % capacity  # of a turn, counted from the user's first
    later = number[..., None] + jnp.arange(turns, dtype=jnp.int32)[None, None]
    user = jnp.arange(users, dtype=jnp.int32)[:, None, None]
    reward, done = (leaf[user, later % capacity] for leaf in (kept.reward, kept.done))
    ended = jnp.cumsum(done, axis=-1, dtype=jnp.int32) - done.astype(jnp.int32)  # before that turn
    live = (later < replay.added) & (ended == 0)
    paid: Float[Array, "B*n L"] = jnp.where(live, reward, 0.0).reshape(-1, turns)
    return paid


def calibrated_penalty(
    network: Network,
    params: dict,
    features: Float[Array, "R h"],
    rows: Experience,
    reference: Float[Array, "R"],
) -> Float[Array, "R"]:
    """log(exp Q(s, a) + sum over b != a of exp max(Q(s, b), V_ref(s))) - Q(s, a), in blocks of the catalogue.

    The head gives log-probabilities Q - V(s) - log Z; the reference is moved likewise.
    """
    query = network.query(params, features)
    plan = replace(network.loss_plan(query.shape[0]), implementation="blocked")
    policy = catalogue_distribution(plan, query, *network.catalogue(params), rows.limits)
    chosen = policy.statistics(rows.action)
    least = reference - network.value(params, features) - chosen.log_total

    @jax.checkpoint
    def of_block(block: Int[Array, ""]) -> Float[Array, "R"]:
        ids, log_probs = policy.log_probs(block)
        raised = jnp.where(log_probs > LEAST, jnp.maximum(log_probs, least[:, None]), MASKED)
        counted = jnp.where(ids[None] == rows.action[:, None], log_probs, raised)
        return jax.nn.logsumexp(counted, axis=1)

    blocks = jax.lax.map(of_block, jnp.arange(policy.blocks, dtype=jnp.int32))
    return jax.nn.logsumexp(blocks, axis=0) - chosen.log_prob


def calql_loss(
    params: dict, target: dict, network: Network, rows: FollowedTurn, hyper: CalQLHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Discrete Cal-QL (Nakamoto et al. 2023, arXiv 2303.05479, eq. 5.1) on rows [R]; (loss, metrics).

        L = mean((y - Q(s, a))^2) / 2 + alpha mean(`calibrated_penalty`)

    with y of `double_q_goal` and V_ref the return of the row's own session from there on. With V_ref below all Q it is CQL.
    """
    features = window_features(network, params, rows.window)
    error, action_value = double_q_error(params, target, network, features, rows, hyper.discount)
    reference = rows.returns(hyper.discount)
    penalty = jnp.mean(calibrated_penalty(network, params, features, rows, reference))
    metrics = {
        "action_value_loss": error,
        "penalty": penalty,
        "action_value": jnp.mean(action_value),
        "reference": jnp.mean(reference),
    }
    return error + hyper.conservatism * penalty, metrics


class CalQLLoss(LaggingLoss):
    """Its loss, for logged rows and for replayed ones."""

    def loss(
        self, params: dict, target: dict, network: Network, rows: Any, hyper: CalQLHyper, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Nothing is drawn."""
        del key
        return calql_loss(params, target, network, rows, hyper)


class CalQLOffline(CalQLLoss, GreedyOffline):
    """Cal-QL on logged sessions."""

    def batch(self, key: PRNGKeyArray, data: Data) -> FollowedTurn:
        """Logged turns, drawn uniformly with replacement, with what followed them."""
        return _logged_rows(self, key, data, self.config.batch)


class CalQLOnline(CalQLLoss, GreedyOnline):
    """Cal-QL on logged sessions and on the users it serves."""

    def experience(self, transitions: Transition) -> EndedTurn:
        """With the ends of sessions."""
        kept = super().experience(transitions)
        named = {one.name: getattr(kept, one.name) for one in fields(Experience)}
        return EndedTurn(**named, done=transitions.done)

    def drawn(self, key: PRNGKeyArray, replay: Replay, data: Data) -> tuple[Experience, PRNGKeyArray]:
        """Replayed and logged turns, with what followed them."""
        online_key, logged_key, loss_key = jax.random.split(key, 3)
        slots = replay.slots(online_key, self.config.online_rows)
        turns = self.scene.simulator.config.turn_cap
        online = followed(replay.rows(slots), paid_in_replay(replay, slots, turns))
        return joined(online, _logged_rows(self, logged_key, data, self.config.logged_rows)), loss_key


def _logged_rows(
    learner: CalQLOffline | CalQLOnline, key: PRNGKeyArray, data: Data, rows: int
) -> FollowedTurn:
    assert data.logged is not None
    numbers = data.logged.numbers(key, rows)
    paid = paid_in_logs(data.logged, numbers, learner.scene.simulator.config.turn_cap)
    return followed(data.logged.rows(numbers, learner.scene.num_items), paid)


@register("calql")
@dataclass(frozen=True)
@checked
class CalQL:
    """Calibrated conservative Q-learning on logged sessions, then online.

    Decided here, where descriptions differ: the return of a session that was cut at the turn cap, or still goes on, is what it
    has paid so far, with nothing bootstrapped; alpha is fixed, without a Lagrange multiplier for the gap; all else is as
    `cql` has it, so that the two differ in the calibration alone.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from first: a stated logging policy's recorded sessions, or the offline users' own choices."""
    offline: OfflineConfig = OfflineConfig()
    """Its gradient steps on logged sessions."""
    online: ExploringReplayConfig = ExploringReplayConfig()
    """Its gradient steps and its exploration while it serves users."""
    hyper: Annotated[CalQLHyper, Flat] = field(default_factory=CalQLHyper)
    """Its numbers, the same for both."""

    card: ClassVar[Card] = Card(
        "Cal-QL", "CQL that is not below what sessions paid, on logs and then online", OFFLINE, learns_online=True,
        paper="Nakamoto et al. 2023, arXiv 2303.05479",
        rivals=(
            Rival("bc", "initial_reward", "Does Cal-QL start above behaviour cloning?"),
            Rival("cql", "mean_reward", "Does calibration earn more than CQL online?"),
            Rival("cql", "final_reward", "Does calibration end above CQL?"),
            Rival("iql", "final_reward", "Does Cal-QL end above IQL?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then online learning from there."""
        del study
        return stages_from_logs("calql", "Cal-QL offline", (CalQLOffline, CalQLOnline), self)
