"""M4 for losses of methods as they are: its states as features of the shared network, its actions as three items."""

import jax
import jax.numpy as jnp
import numpy as np
from tabular import BEHAVIOUR, REWARDS, TRANSITIONS

from ialp_jax.learning.experience import Experience
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.policies.encoders import Recall
from ialp_jax.worlds.types import Observation, limits

STATES, ACTIONS = REWARDS.shape
LIVING = 3
"""States before the absorbing one."""
OPTIMUM = np.array([1.452394, 1.653577, 1.454545, 0.0])
"""V* of related.md."""


class TabularActorCritic(ActorCritic):
    """The network whose features are the state, one-hot: what the last feedback of a window says."""

    def begin(self, observation):
        return Recall(jax.nn.one_hot(observation.feedback[-1].astype(jnp.int32), STATES))


NETWORK = Network(
    TabularActorCritic(ACTIONS, PolicyConfig("gru", embedding=ACTIONS, hidden=STATES, sharpness=1.0))
)


def table_params(scores, values=None, advantages=None):
    """Parameters whose policy head scores items by a table [4, 3], with V [4] and the advantage head's table, or zeros."""
    values = np.zeros(STATES) if values is None else values
    dense = lambda kernel: {  # noqa: E731
        "kernel": jnp.asarray(kernel, jnp.float32),
        "bias": jnp.zeros(np.shape(kernel)[1]),
    }
    return {
        "items": jnp.eye(ACTIONS),
        "bias": jnp.zeros(ACTIONS),
        "query_head": dense(scores),
        "value_hidden": dense(np.eye(STATES)),
        "value_out": dense(np.asarray(values)[:, None]),
        "advantage_head": dense(np.zeros((STATES, ACTIONS)) if advantages is None else advantages),
    }


def experience(states, actions, rewards, after, excluded=None):
    """Decisions [R] as rows; those that lead to the absorbing state terminate."""
    states, actions, after = (np.asarray(numbers, np.int32) for numbers in (states, actions, after))
    window = Observation(jnp.full((len(states), 1), ACTIONS), jnp.asarray(states[:, None], jnp.float32))
    excluded = np.zeros((len(states), 0)) if excluded is None else excluded
    return Experience(
        window=window, limits=limits(jnp.asarray(excluded, jnp.int32)), action=jnp.asarray(actions),
        reward=jnp.asarray(rewards, jnp.float32), feedback=jnp.asarray(after, jnp.float32),
        appended=jnp.ones(len(states), bool), terminated=jnp.asarray(after == LIVING), log_propensity=jnp.zeros(len(states)),
    )  # fmt: skip


def m4_rows(behaviour=BEHAVIOUR):
    """Every transition of the three living states, each as often in 100 of its state as the behaviour takes it."""
    counts = np.rint(100 * behaviour[:LIVING, :, None] * TRANSITIONS[:LIVING]).astype(int)
    states, actions, after = (np.repeat(place, counts.ravel()) for place in
                              (axis.ravel() for axis in np.indices(counts.shape)))  # fmt: skip
    assert len(states) == 100 * LIVING
    return experience(states, actions, REWARDS[states, actions], after)


def backed_up(values):
    """R + gamma P V, [4, 3], in double precision."""
    return REWARDS + 0.9 * TRANSITIONS @ np.asarray(values)


def soft_optimum(temperature):
    """Q = R + gamma P V with V = alpha log sum exp(Q / alpha), and pi = softmax(Q / alpha); [4, 3] each, by iteration."""
    values = np.zeros(STATES)
    for _ in range(500):
        weights = np.exp(backed_up(values) / temperature)
        values = np.append(
            temperature * np.log(weights.sum(axis=1))[:LIVING], 0.0
        )  # what is absorbing pays nothing
    return backed_up(values), weights / weights.sum(axis=1, keepdims=True)


def largest(gradients):
    """The largest entry of a tree of gradients, in size."""
    return max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradients))
