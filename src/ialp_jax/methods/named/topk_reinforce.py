"""Off-policy REINFORCE with the top-K correction: on logged sessions, frozen online."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.logged import discounted, paid_in_logs
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.row_losses import action_statistics, window_features
from ialp_jax.learning.watched import ratio_clipped
from ialp_jax.methods.base import UNTRAINED, Budget, Card, Common, Data, Rival, Stage, online_needs
from ialp_jax.methods.families import OFFLINE
from ialp_jax.methods.learners.offline import FrozenWindow, OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.methods.learners.two_heads import TwoHeads, head_of
from ialp_jax.methods.needs import Need
from ialp_jax.methods.options import Flat
from ialp_jax.methods.registry import register
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Rate, Share, at_least
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average
from ialp_jax.values import checked

LEAST = -1e30
"""In the place of log(1 - pi) where that is infinite."""


@struct.dataclass
class TopKHyper:
    """Numbers of the corrected policy gradient."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.95
    """gamma."""
    slate: Annotated[float, at_least(1)] = 16.0
    """K: the policy is fitted so that K draws from it have the item among them; 1 is plain off-policy REINFORCE."""
    weight_cap: Rate = 20.085537
    """Largest pi / mu: e^3."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


def top_k_factor(chance: Float[Array, "R"], slate: Float[Array, ""] | float) -> Float[Array, "R"]:
    """lambda_K = K (1 - pi)^(K - 1), the slope of 1 - (1 - pi)^K in pi (Chen et al. 2019, arXiv 1812.02353, section 4.3).

    Args:
        chance: pi(a|s), which may exceed 1 by rounding.
        slate: K of 1 or more.
    """
    rest = jnp.log1p(-jnp.minimum(chance, 1.0))
    # Finite at pi = 1, where K = 1 would multiply infinity by 0.
    return slate * jnp.exp((slate - 1.0) * jnp.maximum(rest, LEAST))


def top_k_loss(
    params: TwoHeads,
    network: Network,
    rows: Experience,
    returns: Float[Array, "R"],
    hyper: TopKHyper,
    recorded: bool,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """-mean(min(pi / mu, c) lambda_K G log pi(a|s)), weights without gradients (arXiv 1812.02353, eq. 6); (loss, metrics).

    Args:
        params: the policy, and the head that learns mu where nobody recorded it.
        network: of both.
        rows: logged turns [R].
        returns: G of each row.
        hyper: K, and c of the weights.
        recorded: whether the rows have their propensities. Else -mean(log mu(a|s)) of the second head is added, whose
            gradient stops at the encoder and at the items' embeddings.
    """
    features = window_features(network, params.network, rows.window)
    log_prob, entropy = action_statistics(network, params.network, features, rows)
    log_behaviour, losses = rows.log_propensity, {}
    if not recorded:
        read, shared = jax.lax.stop_gradient((features, params.network))
        log_behaviour, _ = action_statistics(network, TwoHeads(shared, params.head).second(), read, rows)
        losses["behaviour_loss"] = -jnp.mean(log_behaviour)
    held, logged = jax.lax.stop_gradient((log_prob, log_behaviour))
    # The exponent is bounded, not the ratio: what overflows would be no number.
    ratio = jnp.exp(jnp.minimum(held - logged, jnp.log(hyper.weight_cap)))
    factor = top_k_factor(jnp.exp(held), hyper.slate)
    losses["policy_loss"] = -jnp.mean(ratio * factor * returns * log_prob)
    metrics = {
        **losses,
        "ratio": jnp.mean(ratio),
        "top_k_factor": jnp.mean(factor),
        "return": jnp.mean(returns),
        "entropy": jnp.mean(entropy),
        **ratio_clipped(log_prob, log_behaviour, hyper.weight_cap),
    }
    return sum(losses.values(), jnp.float32(0.0)), metrics


@dataclass(frozen=True)
class TopKLearner(OfflineLearner):
    """Corrected policy gradients on logged sessions."""

    def init(self, key: PRNGKeyArray, hyper: TopKHyper, data: Data, start: tuple[dict]) -> OfflineState:
        """Starts from the parameters in `start`; the second head, which only unknown propensities need, as the first."""
        del hyper
        assert data.logged is not None
        params: Any = TwoHeads(start[0], {} if data.logged.exact else head_of(start[0]))
        return OfflineState(params, (), optimiser().init(params), key, jnp.int32(0))

    def update(
        self, run: OfflineState, hyper: TopKHyper, data: Data
    ) -> tuple[OfflineState, dict[str, Array]]:
        """One gradient step."""
        assert data.logged is not None
        logged, network = data.logged, self.scene.network
        key, batch_key = jax.random.split(run.key)
        numbers = logged.numbers(batch_key, self.config.batch)
        rows = logged.rows(numbers, self.scene.num_items)
        returns = discounted(paid_in_logs(logged, numbers, logged.reward.shape[1]), hyper.discount)
        loss = jax.grad(top_k_loss, has_aux=True)
        gradients, metrics = average(loss(run.params, network, rows, returns, hyper, logged.exact))
        params, state, told = gradient_step(run.params, run.optimiser, gradients, hyper)
        return OfflineState(params, (), state, key, run.update + 1), metrics | told

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy as it stands, on the window."""
        del hyper, data
        return window_actor(self.scene.network, self.product(run), greedy)

    def product(self, run: OfflineState) -> dict:
        """The policy's parameters."""
        return run.params.network  # type: ignore[attr-defined, no-any-return]


@register("topk_reinforce")
@dataclass(frozen=True)
@checked
class TopKReinforce:
    """Off-policy REINFORCE with the top-K correction on logged sessions, then frozen.

    As published: returns from a turn on, without a baseline and not standardised (public code draws fresh actions and
    standardises, which is another estimator); weights of one turn, capped at e^3; K of 16; mu by a second head that does not
    move the encoder. Decided here: where the logs have recorded propensities these are mu, and nothing is fitted; the second
    head shares the items' embeddings, with biases of its own; a session that was cut is worth what it paid; one item is served
    in a turn, drawn from the policy, whose mass K above 1 spreads over about as many items as one would show at once.
    """

    source: Literal["recorded", "logs"] = "recorded"
    """What it learns from: a stated logging policy's recorded sessions, or the offline users' own choices."""
    config: Annotated[OfflineConfig, Flat] = OfflineConfig()
    """Its gradient steps."""
    hyper: Annotated[TopKHyper, Flat] = field(default_factory=TopKHyper)
    """Its numbers."""

    card: ClassVar[Card] = Card(
        "top-K REINFORCE", "off-policy REINFORCE on logged sessions, corrected for K items at once, frozen online", OFFLINE,
        learns_online=False, paper="Chen et al. 2019, arXiv 1812.02353",
        rivals=(
            Rival("bc", "mean_reward", "Does top-K REINFORCE earn more than behaviour cloning?"),
            Rival("iql", "initial_reward", "Do weighted returns start above IQL?"),
            Rival("popular", "mean_reward", "Does top-K REINFORCE earn more than popularity?"),
        ),
    )  # fmt: skip
    builds_on: ClassVar[tuple[str, ...]] = ()

    def stages(self, study: Common) -> tuple[Stage, ...]:
        """Gradient steps on the logs, then the policy as it is."""
        del study
        needs = frozenset({Need.RECORDED if self.source == "recorded" else Need.LOGS})
        learnt = Stage("top-K REINFORCE offline", TopKLearner, self.config, self.hyper, needs, (UNTRAINED,),
                       budget=Budget.NONE)  # fmt: skip
        return learnt, Stage("topk_reinforce", FrozenWindow, needs=online_needs(False), after=(learnt,),
                             budget=Budget.MEASURE)  # fmt: skip
