"""Next-item prediction with action values beside it, on logged sessions: two heads on one encoder (SQN, SNQN, SA2C).

The policy head predicts the logged items and serves; Q(s, a) = V(s) + <W_q h, e_a> + b_a has a head of the same form, which
shares encoder and item embeddings with it and so shapes them. Double Q-learning has two copies of all that: in every step a
coin says which of them learns; the other one says what the item that the first finds best is worth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.experience import Experience
from ialp_jax.learning.optimiser import gradient_step, optimiser
from ialp_jax.learning.row_losses import action_statistics, liked_mean, window_features
from ialp_jax.methods.base import UNTRAINED, Budget, Data, Stage, online_needs
from ialp_jax.methods.learners.action_values import best_items, double_q_goal, values_at
from ialp_jax.methods.learners.frozen import FrozenLearner
from ialp_jax.methods.learners.offline import OfflineConfig, OfflineLearner, OfflineState
from ialp_jax.methods.needs import Need
from ialp_jax.policies.actor import Flag
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.fixed import RandomPolicy
from ialp_jax.policies.window import window_actor
from ialp_jax.ranges import Count, Rate, Share, Weight, at_least
from ialp_jax.serving.sessions import Actor
from ialp_jax.serving.shares import average, user_keys
from ialp_jax.values import checked
from ialp_jax.worlds.types import Limits, Observation, Situation

Metrics = dict[str, Array]


@dataclass(frozen=True)
@checked
class CopiesConfig(OfflineConfig):
    """Gradient steps of two copies."""

    updates: Count = 4000
    """Gradient steps on logged sessions, of which the copy that serves gets about half."""


@dataclass(frozen=True)
@checked
class TwoHeadConfig(CopiesConfig):
    """What decides the program."""

    negatives: Annotated[int, at_least(0)] = 0
    """Items beside the logged one, in every row, whose Q learns that they pay nothing."""


@struct.dataclass
class TwoHeadHyper:
    """Numbers of next-item prediction with action values."""

    learning_rate: Rate = 1e-3
    """Step size of Adam."""
    discount: Share = 0.5
    """gamma."""
    value_weight: Weight = 1.0
    """w: weight of the loss of Q, beside the cross-entropy's 1."""
    liked: Share = 0.25
    """Only items with at least this feedback in [0, 1] are imitated; 0 imitates all. Q learns from all."""
    gradient_norm: Rate = 1.0
    """Gradients are scaled down to at most this global norm."""


@struct.dataclass
class TwoHeads:
    """Parameters of a network with a second head.

    Attributes:
        network: the encoder, the items' embeddings, the policy head that serves, and V.
        head: "query_head" and "bias" of the other head, of the policy head's shapes.
    """

    network: dict
    head: dict

    def second(self) -> dict:
        """The network with the other head in the policy head's place; where that is Q, as `action_values` reads it."""
        return {**self.network, **self.head}


def head_of(network: dict) -> dict:
    """The policy head's own parameters."""
    return {name: network[name] for name in ("query_head", "bias")}


@struct.dataclass
class Read:
    """What one copy says of R rows.

    Attributes:
        log_prob: log pi(a|s) of the logged items.
        entropy: of pi, in nats.
        action_value: Q(s, a) of the logged items.
        others: Q(s, b) of the n negatives.
    """

    log_prob: Float[Array, "R"]
    entropy: Float[Array, "R"]
    action_value: Float[Array, "R"]
    others: Float[Array, "n R"]


Weigh = Callable[[Read], Float[Array, "R"]]
"""How much each row is imitated; gradients must not flow through it."""


def read(network: Network, params: TwoHeads, rows: Experience, negatives: Int[Array, "n R"]) -> Read:
    """Both heads at rows [R] and their negatives."""
    features = window_features(network, params.network, rows.window)
    log_prob, entropy = action_statistics(network, params.network, features, rows)
    items = jnp.concatenate([rows.action[None], negatives])
    values = jax.vmap(lambda chosen: values_at(network, params.second(), features, chosen))(items)
    return Read(log_prob, entropy, values[0], values[1:])


def value_losses(
    seen: Read,
    params: TwoHeads,
    other: TwoHeads,
    network: Network,
    rows: Experience,
    negatives: Int[Array, "n R"],
    discount: Float[Array, ""] | float,
) -> dict[str, Float[Array, ""]]:
    """Double Q-learning at what was logged and at what was not (Xin et al. 2022, arXiv 2111.03474); means over rows [R].

        at the logged item    (r + gamma (1 - terminated) Q'(s', argmax_a Q(s', a)) - Q(s, a))^2 / 2
        at each negative b    (0 + gamma Q'(s, argmax_a Q(s, a)) - Q(s, b))^2 / 2, summed over the negatives

    with Q' of the other copy. What was not recommended pays nothing and leaves the user where they are.
    """
    mine, theirs = params.second(), other.second()
    goal = double_q_goal(mine, theirs, network, rows, discount)
    losses = {"action_value_loss": 0.5 * jnp.mean((goal - seen.action_value) ** 2)}
    if negatives.shape[0]:
        best = jax.lax.stop_gradient(best_items(network, mine, rows.window, rows.limits))
        worth = values_at(network, theirs, window_features(network, theirs, rows.window), best)
        stay = discount * jax.lax.stop_gradient(worth)
        errors = jnp.where(negatives != rows.action[None], stay[None] - seen.others, 0.0)
        losses["negative_loss"] = 0.5 * jnp.mean(jnp.sum(errors**2, axis=0))
    return losses


def two_head_loss(
    params: TwoHeads,
    other: TwoHeads,
    network: Network,
    rows: Experience,
    negatives: Int[Array, "n R"],
    hyper: Any,
    weigh: Weigh | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """-mean(weight log pi(a|s)) over the rows that were liked + w `value_losses`; (loss, metrics).

    Args:
        params: of the copy that learns.
        other: of the other one, which stays as it is.
        network: of both.
        rows: logged turns [R].
        negatives: other items of each row; n may be 0.
        hyper: a `TwoHeadHyper`.
        weigh: how much each row is imitated; None for all alike.
    """
    seen = read(network, params, rows, negatives)
    losses = value_losses(seen, params, other, network, rows, negatives, hyper.discount)
    weight = jnp.ones_like(seen.log_prob) if weigh is None else jax.lax.stop_gradient(weigh(seen))
    cross_entropy = liked_mean(-weight * seen.log_prob, rows.feedback, hyper.liked)
    metrics = {
        **losses,
        "cross_entropy": cross_entropy,
        "action_value": jnp.mean(seen.action_value),
        "entropy": jnp.mean(seen.entropy),
        "weight_of_imitation": jnp.mean(weight),
    }
    return cross_entropy + hyper.value_weight * sum(losses.values()), metrics


def other_items(key: PRNGKeyArray, rows: Experience, count: int, num_items: int) -> Int[Array, "n R"]:
    """Items drawn uniformly, with replacement, from what might be recommended in each row beside its own.

    The row's own item, which `value_losses` leaves out, where there is no other.
    """
    excluded = jnp.concatenate([rows.limits.excluded, rows.action[:, None]], axis=1)
    others = rows.limits.replace(excluded=excluded)  # type: ignore[attr-defined]
    anything = RandomPolicy(num_items)

    def of_row(key: PRNGKeyArray, window: Observation, limits: Limits, action: Array) -> Int[Array, "n"]:
        situation = Situation(jnp.int32(0), window, limits)
        items = jax.vmap(lambda one: anything.act(one, situation))(jax.random.split(key, count))
        return jnp.where(jnp.any(limits.excluded[None] == items[:, None], axis=1), action, items)

    keys = user_keys(key, rows.action.shape[0])
    return jax.vmap(of_row, out_axes=1)(keys, rows.window, others, rows.action)


def first_copy(copies: TwoHeads) -> dict:
    """The network that serves, of both copies [2, ...]."""
    network: dict = jax.tree.map(lambda leaf: leaf[0], copies.network)
    return network


@dataclass(frozen=True)
class TwoHeadLearner(OfflineLearner):
    """Gradient steps on logged sessions, in each of which one of two copies learns.

    Its state holds both copies and both states of Adam, [2, ...] each; `target` is what `behaviour` gives.
    """

    config: TwoHeadConfig = TwoHeadConfig()

    def init(self, key: PRNGKeyArray, hyper: Any, data: Data, start: tuple[dict]) -> OfflineState:
        """One copy starts from the parameters in `start`, the other from fresh ones but for the items' embeddings."""
        del hyper
        assert data.logged is not None
        keys = jax.random.split(jax.random.fold_in(key, 1), 3)
        fresh = [self.scene.network.init(one, data.logged.window.items.shape[-1]) for one in keys]
        networks = start[0], {**fresh[0], "items": start[0]["items"]}
        first, second = map(TwoHeads, networks, map(head_of, fresh[1:]))
        return self.begin(key, jax.tree.map(lambda *both: jnp.stack(both), first, second), data)

    def begin(self, key: PRNGKeyArray, copies: TwoHeads, data: Data) -> OfflineState:
        """Both copies with untouched states of Adam."""
        states = jax.vmap(optimiser().init)(copies)
        return OfflineState(copies, self.behaviour(data), states, key, jnp.int32(0))  # type: ignore[arg-type]

    def update(self, run: OfflineState, hyper: Any, data: Data) -> tuple[OfflineState, Metrics]:
        """One gradient step of one copy."""
        key, batch_key, other_key, coin_key = jax.random.split(run.key, 4)
        rows, network = self.batch(batch_key, data), self.scene.network
        negatives = other_items(other_key, rows, self.config.negatives, self.scene.num_items)
        learns = jax.random.bernoulli(coin_key).astype(jnp.int32)
        both = (run.params, run.optimiser)
        params, state = jax.tree.map(lambda leaf: leaf[learns], both)
        other = jax.tree.map(lambda leaf: leaf[1 - learns], run.params)

        def weigh(seen: Read) -> Float[Array, "R"]:
            return self.weight(seen, rows, run.target, hyper)

        def loss(params: TwoHeads) -> tuple[Float[Array, ""], Metrics]:
            return two_head_loss(params, other, network, rows, negatives, hyper, weigh)

        gradients, metrics = average(jax.grad(loss, has_aux=True)(params))
        params, state, told = gradient_step(params, state, gradients, hyper)
        both = jax.tree.map(lambda leaf, new: leaf.at[learns].set(new), both, (params, state))
        return OfflineState(both[0], run.target, both[1], key, run.update + 1), metrics | told

    def behaviour(self, data: Data) -> Any:
        """What is known of the policy that logged; nothing that is read here."""
        del data
        return ()

    def weight(self, seen: Read, rows: Experience, behaviour: Any, hyper: Any) -> Float[Array, "R"]:
        """How much each row is imitated: all alike."""
        del rows, behaviour, hyper
        return jnp.ones_like(seen.log_prob)

    def actor(self, run: OfflineState, hyper: Any, data: Data, greedy: Flag = False) -> Actor:
        """The policy of the copy that serves, on the window."""
        del hyper, data
        return window_actor(self.scene.network, first_copy(run.params), greedy)  # type: ignore[arg-type]


class TwoHeadServing(FrozenLearner):
    """The policy head of the copy that serves, as it is."""

    def policy(self, params: tuple[Any, ...], data: Data, greedy: Flag) -> Actor:
        """Samples from its distribution, or takes the mode."""
        del data
        return window_actor(self.scene.network, first_copy(params[0]), greedy)


def learnt_stage(
    title: str, config: TwoHeadConfig, hyper: Any, source: str, start: Any = UNTRAINED, learner: Any = TwoHeadLearner
) -> Stage:  # fmt: skip
    """Gradient steps on logged sessions, "recorded" or the users' own "logs"."""
    logged = frozenset({Need.RECORDED if source == "recorded" else Need.LOGS})
    return Stage(title, learner, config, hyper, logged, (start,), budget=Budget.NONE)


def served_stage(name: str, learnt: Stage) -> Stage:
    """The policy of a stage, as it is."""
    return Stage(name, TwoHeadServing, needs=online_needs(False), after=(learnt,), budget=Budget.MEASURE)
