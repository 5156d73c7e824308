"""Policy Expansion: a frozen policy from logged sessions and a new one, of whose proposals the better-valued is served."""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience, experience_of
from ialp_jax.learning.implicit import implicit_regressions
from ialp_jax.learning.row_losses import action_statistics, window_features
from ialp_jax.methods.base import UNTRAINED, Card, Common, Data, Rival, Stage
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.combination import chosen_by_value
from ialp_jax.methods.learners.lagging import LaggingState, MixedReplayLearner, ReplayConfig
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag, greedy_or, item_distribution
from ialp_jax.policies.actor_critic import Network
from ialp_jax.ranges import Rate, Share, Weight, between
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.values import checked
from ialp_jax.worlds.types import Observation, Situation


@struct.dataclass
class PEXHyper:
    """Numbers of Policy Expansion online."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    expectile: Annotated[float, between(0, 1)] = 0.7
    """tau of the value's regression."""
    inverse_temperature: Weight = 3.0
    """beta: how much better decisions are imitated more by the new policy."""
    choice: Weight = 10.0
    """1 / alpha of the choice: the proposal whose Q is higher by x is exp(x / alpha) times as probable."""
    target_rate: Share = 0.005
    """Share by which the lagging copy of Q follows in every step."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class PEXState(LaggingState):
    """As any learner with a memory; "actor" and "critic" are the parameters, `pretrained` the frozen policy's."""

    pretrained: dict


@struct.dataclass
class Expanded:
    """What is kept of a recommendation.

    Attributes:
        window: what was acted on.
        new: the probability that the new policy's proposal was to be served.
    """

    window: Observation
    new: Float[Array, "B"]


def pex_loss(
    params: dict, target: dict, network: Network, rows: Experience, hyper: PEXHyper
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """IQL's regressions (arXiv 2110.06169, eq. 5 to 7) of "critic" and "actor" on rows [R]; (loss, metrics).

    V and Q are the critic's (`implicit_regressions`); the actor imitates the rows' own items,
    L_pi = -mean(min(exp(beta (Q^(s, a) - V(s))), 100) log pi(a|s)).
    """
    fitted = implicit_regressions(params["critic"], target["critic"], network, rows, hyper)
    features = window_features(network, params["actor"], rows.window)
    log_prob, entropy = action_statistics(network, params["actor"], features, rows)
    losses = {**fitted.losses, "policy_loss": -jnp.mean(fitted.weight * log_prob)}
    metrics = {**losses, **fitted.told, "entropy": jnp.mean(entropy)}
    return sum(losses.values(), jnp.float32(0.0)), metrics


def expanded_actor(
    network: Network, pretrained: dict, params: dict, choice: Float[Array, ""] | float, greedy: Flag = False
) -> Actor:
    """Both policies propose; i is served with probability softmax(choice Q(s, a_i)) (arXiv 2302.00935).

    Greedily both propose their mode, and the one of the higher Q is served.

    Args:
        network: of both policies and the critic, which share no parameters.
        pretrained: of the frozen policy.
        params: "actor", the new policy, and "critic".
        choice: 1 / alpha.
        greedy: whether nothing is drawn.
    """

    def act(key: PRNGKeyArray, recall: Any, situation: Situation) -> tuple[Array, Expanded]:
        del recall
        seen = situation.observation
        *keys, choice_key = jax.random.split(key, 3)

        def proposal(one_key: PRNGKeyArray, policy: dict) -> Array:
            distribution = item_distribution(network, policy, network.begin(policy, seen), situation)
            return greedy_or(greedy, distribution.mode, distribution.sample(seed=one_key))

        features = window_features(network, params["critic"], seen)
        first, second = (proposal(*pair) for pair in zip(keys, (pretrained, params["actor"]), strict=True))
        scores = [choice * network.action_value(params["critic"], features, one) for one in (first, second)]
        item, old = chosen_by_value(choice_key, (first, second), (scores[0], scores[1]), greedy)
        return item, Expanded(seen, 1.0 - old)

    return Actor(lambda observation: (), lambda *interaction: (), act)


@dataclass(frozen=True)
class PEXOnline(MixedReplayLearner):
    """Serves what either policy proposes; the new one and the critic learn, half of their batches from the logs."""

    def init(
        self, key: PRNGKeyArray, hyper: PEXHyper, data: Data, start: tuple[tuple[dict, dict], dict]
    ) -> PEXState:
        """Opens B sessions; of `start` the first is what was learnt on the logs, the second where the new policy starts."""
        (pretrained, lagging), actor = start
        params, target = ({"actor": actor, "critic": critic} for critic in (pretrained, lagging))
        served_by = expanded_actor(self.scene.network, pretrained, params, hyper.choice)
        begun = self.begin(key, params, target, served_by, data)
        parts = {one.name: getattr(begun, one.name) for one in fields(LaggingState)}
        return PEXState(**parts, pretrained=pretrained)

    def experience(self, transitions: Transition) -> Experience:
        """Without propensities, which nothing here reads."""
        return experience_of(transitions, transitions.extras.window, jnp.zeros(transitions.reward.shape))

    def told(self, transitions: Transition) -> dict[str, Array]:
        """How probable it was that the new policy's proposal was served."""
        return {"new": jnp.mean(transitions.extras.new)}

    def loss(
        self, params: dict, target: dict, network: Network, rows: Experience, hyper: Any, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """`pex_loss`, which draws nothing."""
        del key
        return pex_loss(params, target, network, rows, hyper)

    def actor(self, run: PEXState, hyper: PEXHyper, data: Data, greedy: Flag = False) -> Actor:  # type: ignore[override]
        """The choice as it stands."""
        del data
        return expanded_actor(self.scene.network, run.pretrained, run.params, hyper.choice, greedy)

    def product(self, run: PEXState) -> tuple[dict, dict]:
        """The frozen policy's parameters, and those of the new one and the critic."""
        return run.pretrained, run.params


@register("pex")
@dataclass(frozen=True)
@checked
class PEX:
    """Policy Expansion: IQL's policy from the logs, frozen, and a new one that learns online.

    As published, Q is compared in units of the reward. Not `a_ialp_ap_value`, which expands iALP's policy, divides Q by the
    spread of its targets and learns by a clipped policy gradient. The public code regresses the new policy on items that both
    policies are made to propose anew for the batch's states; here, as in the paper, on the items of the batch.

    Decided here, where descriptions differ: the new policy is a network of its own and starts untrained; V, Q and its lagging
    copy go on from `iql`'s, whose options are those of the first stage alone; beta is 3 as there (the code's examples: 10), so
    that the two differ in the expansion; one Q instead of the lower of two; the choice is by the Q that learns, not by its
    lagging copy; the frozen policy proposes a sample as the new one does, where the code has it propose its mode; it learns
    from the first rollout on, for logs are there from the start. Half of every batch is logged where `logged_rows` are as many
    as `online_rows` times the users served.
    """

    online: ReplayConfig = ReplayConfig()
    """Its gradient steps while it serves users."""
    hyper: Annotated[PEXHyper, Flat] = field(default_factory=PEXHyper)
    """Its numbers online."""

    card: ClassVar[Card] = Card(
        "PEX", "IQL's frozen policy or a new one, by their values", OFFLINE, learns_online=True,
        paper="Zhang et al. 2023, arXiv 2302.00935", curves={"new": "probability of the new policy's proposal"},
        rivals=(
            Rival("iql", "final_reward", "Does expansion end above IQL that goes on with one policy?"),
            Rival("iql", "mean_reward", "Does expansion earn more than IQL overall?"),
            Rival("a_ialp_ap_value", "final_reward", "Does expansion from logs end above expansion from preferences?"),
            Rival("a2c", "final_reward", "Does PEX end above A2C?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ("iql",)
    unread: ClassVar[tuple[str, ...]] = ("iql.online",)

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """IQL's gradient steps on the logs, then online learning beside its policy."""
        first = study.method("iql").stages(study)[0]
        needs = first.needs | {Need.USERS}
        return first, Stage("pex", PEXOnline, self.online, self.hyper, needs, (first, UNTRAINED))
