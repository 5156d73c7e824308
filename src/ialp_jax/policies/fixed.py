"""Policies that never learn: random, greedy on given scores, and an oracle that knows the simulator."""

import operator
from functools import reduce
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ialp_jax.serving.sessions import Actor, PrivilegedActor
from ialp_jax.serving.shares import user_keys
from ialp_jax.worlds.departure import RULES, DepartureContext, temper_after
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.types import Situation, State
from ialp_jax.worlds.world import World


class FixedPolicy(Protocol):
    """Chooses an item for one user from what a recommender may know; callers `vmap` over users."""

    def act(self, key: PRNGKeyArray, situation: Situation) -> Int[Array, ""]:
        """An item that `situation` permits."""
        ...


def fixed_actor(policy: FixedPolicy, greedy: bool | Bool[Array, ""] = False) -> Actor:
    """A fixed policy as an `Actor`: it remembers nothing, and is its own greedy version."""
    del greedy

    def act(keys, recall, situation):  # type: ignore[no-untyped-def]
        del recall
        return jax.vmap(policy.act)(keys, situation), ()

    return Actor(lambda observation: (), lambda *interaction: (), act, user_keys)


def oracle_actor(policy: "OraclePolicy", greedy: bool | Bool[Array, ""] = False) -> PrivilegedActor:
    """The oracle as an actor that is shown the truth."""
    del greedy

    def act(keys, recall, state, situation, world):  # type: ignore[no-untyped-def]
        del recall
        return jax.vmap(policy.act, (0, 0, 0, None))(keys, state, situation, world), ()

    return PrivilegedActor(lambda observation: (), lambda *interaction: (), act, user_keys)


@struct.dataclass
class RandomPolicy:
    """Uniform over the permitted ones of N items."""

    num_items: int = struct.field(pytree_node=False)

    def act(self, key: PRNGKeyArray, situation: Situation) -> Int[Array, ""]:
        """A permitted item, uniformly at random."""
        limits = situation.limits
        few = self.num_items <= limits.excluded.shape[0]
        if limits.allowed.shape[0] or limits.alike.shape[0] or few:
            return choose(key, limits.mask(self.num_items))
        return permitted_item(key, limits.excluded, self.num_items)


@struct.dataclass
class ScorePolicy:
    """Greedy on fixed scores: popularity, a preference table, any ranking.

    Attributes:
        scores: one row per user, or a single row used for everybody.
    """

    scores: Float[Array, "U N"]

    def act(self, key: PRNGKeyArray, situation: Situation) -> Int[Array, ""]:
        """The permitted item with the highest score; ties are broken uniformly at random."""
        row = self.scores[situation.user if self.scores.shape[0] > 1 else 0]
        return best_permitted(key, row, situation)


@struct.dataclass
class OraclePolicy:
    """Knows the true ratings and the departure rules, and looks one recommendation ahead.

    Takes the best-rated permitted item that does not make the user leave now, or, where every permitted item
    does, the best-rated one. It judges by the mean rating, without the world's rating noise.
    """

    simulator: Simulator = struct.field(pytree_node=False)

    def act(self, key: PRNGKeyArray, state: State, situation: Situation, world: World) -> Int[Array, ""]:
        """The best permitted item that keeps the user; ties are broken uniformly at random."""
        ratings = world.ratings.of_all(state.user)
        permitted = situation.action_mask(world.num_items)
        staying = permitted & ~departs(self.simulator, state, ratings, world)
        return choose(key, best(ratings, jnp.where(jnp.any(staying), staying, permitted)))


def departs(simulator: Simulator, state: State, ratings: Float[Array, "N"], world: World) -> Bool[Array, "N"]:
    """For every item, whether recommending it now would make the user leave, given the ratings it would get."""
    items, valid = simulator.window(state)
    temper = temper_after(state.temper, world.feedback(ratings), world)
    everything = jnp.arange(world.num_items, dtype=jnp.int32)
    context = DepartureContext(everything, ratings, items, valid, temper)
    left = jnp.zeros(world.num_items, bool)
    for name in simulator.config.rules:
        left |= RULES[name].fires_for_each(context, world)
    return left


def best(scores: Float[Array, "N"], permitted: Bool[Array, "N"]) -> Bool[Array, "N"]:
    """True at the permitted items with the highest score; a score that is no number is lower than all others."""
    ordered = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    return permitted & (ordered == jnp.max(ordered, initial=-jnp.inf, where=permitted))


def best_permitted(key: PRNGKeyArray, scores: Float[Array, "N"], situation: Situation) -> Int[Array, ""]:
    """The permitted item with the highest score; ties are broken uniformly at random."""
    return choose(key, best(scores, situation.action_mask(scores.shape[0])))


def choose(key: PRNGKeyArray, among: Bool[Array, "N"]) -> Int[Array, ""]:
    """Uniform choice among the true entries with one random number; item 0 if there is none."""
    position = jnp.cumsum(among, dtype=jnp.int32)
    rank = jax.random.randint(key, (), 0, jnp.maximum(position[-1], 1))
    return jnp.argmax(position > rank).astype(jnp.int32)


def permitted_item(key: PRNGKeyArray, excluded: Int[Array, "E"], num_items: int) -> Int[Array, ""]:
    """Uniform choice among N items but the excluded ones, without a mask over the catalogue.

    Two candidates at once, the first one permitted counts. Where neither is, which is rare, two others are drawn:
    a batch hardly ever has to repeat itself because of one user.

    Args:
        key: randomness.
        excluded: ids that must not be chosen; ids of N or more are no items. Fewer than N.
        num_items: N.
    """

    def taken(item: Int[Array, ""]) -> Bool[Array, ""]:
        # Written out: `jnp.any` over a short row took three times as long on a CPU (docs/performance.md).
        return reduce(
            operator.or_, (excluded[slot] == item for slot in range(excluded.shape[0])), jnp.bool_(False)
        )

    def draw(key: PRNGKeyArray) -> tuple[PRNGKeyArray, Array]:
        # A key is itself 64 random bits, which nobody else reads. The remainder's bias is below N / 2^32.
        first, second = (jax.random.key_data(key)[:2] % num_items).astype(jnp.int32)
        # One result, -1 for neither: two would be computed by two loops over the users.
        return key, jnp.where(taken(first), jnp.where(taken(second), -1, second), first)

    def again(carry: tuple[PRNGKeyArray, Array]) -> tuple[PRNGKeyArray, Array]:
        return draw(jax.random.fold_in(carry[0], 0))

    return jax.lax.while_loop(lambda carry: carry[1] < 0, again, draw(key))[1]
