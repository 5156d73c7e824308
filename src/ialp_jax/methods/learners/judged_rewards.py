"""Rewards that comparisons teach, of imagined users whose windows are noted, and whose judge is the preference table."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from ialp_jax.data.dataset import Dataset, offline_users
from ialp_jax.policies.actor import policy_actor
from ialp_jax.policies.actor_critic import Network
from ialp_jax.policies.catalogue import HeadStatistics
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.recommenders.feedback_ensemble import pair_rows
from ialp_jax.recommenders.fold_in import OfflineFactors, fit_fold_in, tastes
from ialp_jax.recommenders.pair_features import item_features, lift
from ialp_jax.serving.sessions import Actor, Transition
from ialp_jax.worlds.types import Observation
from ialp_jax.worlds.world import FactorRatings, World


@struct.dataclass
class OwnedFactors:
    """What is fitted to the logs: factors, and whose rows of the table the users of the logs' world are."""

    factors: OfflineFactors
    owner: Int[Array, "O"]

    def row(self, user: Int[Array, "B"], world: World) -> Int[Array, "B"]:
        """Rows of the table of that world's users, of whom there may be several with one owner, in a row."""
        copies = world.initial_items.shape[0] // self.owner.shape[0]
        return self.owner[user // copies]


def fit_owned(dataset: Dataset, config: FactorsConfig) -> OwnedFactors:
    """Factors of the offline users, and their numbers in their order."""
    return OwnedFactors(fit_fold_in(dataset, config), jnp.asarray(offline_users(dataset), jnp.int32))


def reward_chances(
    theta: Float[Array, "J d"], factors: OfflineFactors, taste: Float[Array, "R k"], item: Int[Array, "R"]
) -> Float[Array, "J R"]:
    """How probable each reward thinks that a user prefers the item to the mean item: Bradley-Terry, in [0, 1].

    Comparisons say nothing of a constant in a state; against the mean item it is fixed, and no reward speaks for leaving.
    """
    centre = jnp.mean(item_features(factors), axis=0)
    rows = pair_rows(factors, taste, item) - jax.vmap(lambda one: lift(one) @ centre)(taste)
    return jax.nn.sigmoid(theta @ rows.T)


@struct.dataclass
class NotedDecision:
    """The catalogue head's statistics, and the window that was acted on."""

    statistics: HeadStatistics
    window: Observation


def noting_windows(network: Network, params: dict) -> Actor:
    """The policies themselves; what their users' windows showed is kept."""
    actor = policy_actor(network, params)

    def act(key, recall, situation):  # type: ignore[no-untyped-def]
        item, decision = actor.act(key, recall, situation)
        return item, NotedDecision(decision.statistics, situation.observation)

    return Actor(actor.begin, actor.advance, act)


def imagined_by(
    world: World, factors: OfflineFactors, weights: Float[Array, "d"], taste: Float[Array, "U k"]
) -> World:
    """The world whose users answer as a model of the feedback predicts by the tastes their sessions open with."""
    span = world.rating_high - world.rating_low
    users = span * jax.vmap(lambda one: weights @ lift(one))(taste)
    users = users.at[:, -1].add(world.rating_low)
    ratings = FactorRatings(users, item_features(factors), world.rating_low, world.rating_high)
    return world.replace(ratings=ratings)  # type: ignore[attr-defined, no-any-return]


def seen_in(now: Transition, factors: OfflineFactors) -> tuple[Float[Array, "R k"], Int[Array, "R"]]:
    """Tastes and items of the rows [T x B] of a rollout by `noting_windows`."""
    rows = now.action.size
    window = jax.tree.map(lambda leaf: leaf.reshape(rows, -1), now.extras.window)
    return tastes(factors, window), now.action.reshape(-1)
