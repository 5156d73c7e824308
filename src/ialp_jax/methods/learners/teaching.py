"""The supervised term of pre-training: in the table's world, whose preferences are no secret, a teacher may point.

There the preferences of every state are known beforehand: they are the table. The policy gradient sees one of them per
turn; the supervised term also shows a preferred item that was not recommended,

    L = L_A2C - c_s mean(log pi(a+|s)),     a+ drawn in proportion to the table's reward among permitted items,

as in the supervised actor-critics of Xin et al. (2020, arXiv 2006.05779); here c_s falls to 0 on the way. The teacher may
also be that world's one-step oracle, which takes the best item that does not make the imagined user leave. Neither must ever
be used in the users' world, whose ratings no learner may see.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.learning.optimiser import remaining
from ialp_jax.marks import OnlyAboveZero
from ialp_jax.policies.catalogue import inverse_cdf
from ialp_jax.policies.fixed import OraclePolicy
from ialp_jax.ranges import Range, Weight
from ialp_jax.serving.sessions import AnyActor, PrivilegedActor, recommend
from ialp_jax.serving.shares import user_keys
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.types import Situation, State
from ialp_jax.worlds.world import World

TeacherName = Literal["proportional", "oracle"]
Teacher = Callable[[PRNGKeyArray, State, Situation, World], Int[Array, ""]]


@struct.dataclass
class TaughtHyper(ActorCriticHyper):
    """Numbers of an actor-critic with a teacher."""

    supervised: Weight = 0.0
    """c_s, weight of the supervised term at the start; 0 is plain actor-critic."""
    supervised_share: Annotated[float, Range(0, infinite=True), OnlyAboveZero("supervised")] = 0.5
    """Share of pre-training over which that weight falls linearly to 0; what follows is plain actor-critic. Infinity keeps
    the weight as it is."""


def teaching_weight(hyper: ActorCriticHyper, update: Int[Array, ""], updates: int) -> Float[Array, ""]:
    """c_s at an update: it falls to 0."""
    assert isinstance(hyper, TaughtHyper)
    return hyper.supervised * remaining(update, updates, hyper.supervised_share)


def taught_actor(actor: AnyActor, teacher: Teacher) -> PrivilegedActor:
    """The policy itself; it notes an item to imitate in every state it meets."""

    def act(key, recall, state, situation, world):  # type: ignore[no-untyped-def]
        act_key, teach_key = jax.random.split(key)
        item, decision = recommend(actor, act_key, recall, state, situation, world)
        keys = user_keys(teach_key, item.shape[0])
        taught = jax.vmap(teacher, (0, 0, 0, None))(keys, state, situation, world)
        return item, decision.replace(taught=taught)

    return PrivilegedActor(actor.begin, actor.advance, act)


def teacher_of(name: TeacherName, simulator: Simulator) -> Teacher:
    """The teacher that a configuration names."""
    return preferred_item if name == "proportional" else partial(best_staying_item, simulator)


def preferred_item(key: PRNGKeyArray, state: State, situation: Situation, world: World) -> Int[Array, ""]:
    """A permitted item drawn in proportion to its reward in the imagined world; -1 if none pays anything."""
    rewards = _rewards(state, situation, world)
    item = inverse_cdf(jax.random.uniform(key, (2,)), rewards)
    return jnp.where(jnp.any(rewards > 0.0), item, -1)


def best_staying_item(
    simulator: Simulator, key: PRNGKeyArray, state: State, situation: Situation, world: World
) -> Int[Array, ""]:
    """The best permitted item that keeps the imagined user (`OraclePolicy`); -1 if no permitted item pays anything."""
    item = OraclePolicy(simulator).act(key, state, situation, world)
    return jnp.where(jnp.any(_rewards(state, situation, world) > 0.0), item, -1)


def _rewards(state: State, situation: Situation, world: World) -> Float[Array, "N"]:
    """What the permitted items pay; 0 for others, and for those that pay nothing or less."""
    ratings = world.ratings.of_all(state.user)
    return jnp.where(situation.action_mask(world.num_items) & (ratings > 0.0), ratings, 0.0)
