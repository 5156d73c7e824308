"""Tiny networks, learners and probe worlds that several rooms share."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ialp_jax.methods.base import Data, Scene
from ialp_jax.methods.learners.actor_critic import ActorCriticLearner
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.serving.stream import Stream
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Observation
from ialp_jax.worlds.world import DenseRatings, Departure, World


def tiny_network(items=14, encoder="gru", width=6, block_rows=4):
    """Scores are logits: sharp ones of random parameters would be almost certain of one item."""
    config = PolicyConfig(encoder, embedding=width, hidden=8, sharpness=1.0, block_rows=block_rows)
    return Network(ActorCritic(items, config))


@partial(jax.jit, static_argnums=(0, 1))
def tiny_params(network, history=4, seed=0, spread=0.3):
    """Parameters with nothing left at zero."""
    key, noise_key = jax.random.split(jax.random.key(seed))
    leaves, structure = jax.tree.flatten(network.init(key, history))
    keys = jax.random.split(noise_key, len(leaves))
    noisy = [leaf + spread * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, noisy)


def tiny_scene(network, simulator=None, **stream):
    """Few users."""
    stream = Stream(**{"users": 3, "rollout": 5, "updates": 4, "pool": 4, "bins": 5} | stream)
    return Scene(Simulator(simulator or SimulatorConfig(turn_cap=3)), network, stream)


def tiny_learner(network, simulator=None, **stream):
    """A2C with few users."""
    return ActorCriticLearner(tiny_scene(network, simulator, **stream))


def in_world(world):
    """All that a learner reads which only serves users."""
    return Data(world=world)


def observations(items, feedback):
    """Histories [B, H] of item ids and feedback."""
    return Observation(jnp.asarray(items, jnp.int32), jnp.asarray(feedback, jnp.float32))


def probe_world(ratings, histories, vectors=None, distance=0.0, floor=-1.0, allowed=None, noise=0.0):
    """A world written down by hand: ratings [U, N] in [0, 1], one known history [U, H] per user, liked fully."""
    ratings, histories = np.asarray(ratings, np.float32), np.asarray(histories, np.int32)
    users, items = ratings.shape
    vectors = np.eye(items) if vectors is None else vectors
    return World(
        ratings=DenseRatings(jnp.asarray(ratings)),
        rating_low=jnp.float32(0.0),
        rating_high=jnp.float32(1.0),
        rating_noise=jnp.float32(noise),
        item_vectors=jnp.asarray(vectors, jnp.float32),
        item_categories=jnp.zeros((items, 1), bool),
        session_users=jnp.arange(users, dtype=jnp.int32),
        initial_items=jnp.asarray(histories),
        initial_feedback=jnp.asarray(histories < items, jnp.float32),
        allowed_items=jnp.zeros((users, 0), jnp.int32)
        if allowed is None
        else jnp.asarray(allowed, jnp.int32),
        departure=Departure(
            jnp.float32(distance),
            jnp.float32(floor),
            jnp.int32(1),
            jnp.float32(1.0),
            jnp.float32(0.0),
            jnp.float32(0.0),
        ),
    )
