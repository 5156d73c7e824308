"""Implicit Q-learning's regressions of V and Q on decisions that were made: no value of any other item enters."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from ialp_jax.learning.critics import advantage_weight, expectile_loss, one_step_target
from ialp_jax.learning.experience import Experience
from ialp_jax.learning.row_losses import value_and_action_value, window_features
from ialp_jax.learning.watched import Told, apart, value_scale
from ialp_jax.policies.actor_critic import Network


class ImplicitHyper(Protocol):
    """The numbers of the regressions."""

    @property
    def discount(self) -> Any:
        """gamma."""

    @property
    def expectile(self) -> Any:
        """tau of the value's regression."""

    @property
    def inverse_temperature(self) -> Any:
        """beta of the weights."""


@struct.dataclass
class Regressed:
    """What the regressions on R rows lead to.

    Attributes:
        losses: of V and of Q.
        features: of the rows' windows.
        weight: how much each row's item is to be imitated; without a gradient.
        told: metrics of the values and the weights.
    """

    losses: dict[str, Float[Array, ""]]
    features: Float[Array, "R h"]
    weight: Float[Array, "R"]
    told: Told


def implicit_regressions(
    params: dict, target: dict, network: Network, rows: Experience, hyper: ImplicitHyper
) -> Regressed:
    """L_V and L_Q of IQL (Kostrikov et al. 2021, arXiv 2110.06169, eq. 5 and 6) and the weights of eq. 7, on rows [R].

        L_V = mean(L2_tau(Q^(s, a) - V(s)))    L_Q = mean((r + gamma (1 - terminated) V(s') - Q(s, a))^2) / 2
        w = min(exp(beta (Q^(s, a) - V(s))), 100)

    with Q^ of the lagging copy. No sum over the catalogue enters.
    """
    features = window_features(network, params, rows.window)
    value, action_value = value_and_action_value(network, params, features, rows.action)
    lagging = network.action_value(target, window_features(network, target, rows.window), rows.action)
    next_value = network.value(params, window_features(network, params, rows.window_after()))
    lagging, next_value = jax.lax.stop_gradient((lagging, next_value))
    goal = one_step_target(rows.reward, next_value, rows.terminated, hyper.discount)
    weight = advantage_weight(jax.lax.stop_gradient(lagging - value), hyper.inverse_temperature)
    losses = {
        "value_loss": jnp.mean(expectile_loss(lagging - value, hyper.expectile)),
        "action_value_loss": 0.5 * jnp.mean((goal - action_value) ** 2),
    }
    told = {
        "value": jnp.mean(value),
        "weight_of_imitation": jnp.mean(weight),
        **value_scale(network.value(params, apart(features)), rows.reward, hyper.discount),
    }
    return Regressed(losses, features, weight, told)
