"""Small worlds whose optimum is known, and training in them over a few seeds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tiny_runs import probe_world, tiny_network, tiny_scene

from ialp_jax.methods.base import Data
from ialp_jax.serving.play import play
from ialp_jax.study.logged import LoggedConfig, recorded_sessions
from ialp_jax.worlds.simulator import SimulatorConfig

ITEMS, CAP = 9, 4
NETWORK = tiny_network(ITEMS, block_rows=256)
RULES = SimulatorConfig(turn_cap=CAP, window=2)
HISTORIES = [[ITEMS, 0], [ITEMS, 1]]
# Four items pay, so a session of four turns can earn 1 per turn; at random about .44 of the recommendations do.
PAYS = {
    "the same for everybody": [np.isin(np.arange(ITEMS), (2, 3, 4, 5)).astype(float)] * 2,
    "by the history": [
        np.isin(np.arange(ITEMS), items).astype(float) for items in ((2, 3, 4, 5), (5, 6, 7, 8))
    ],
}
OPTIMUM = 1.0


def world_of(name):
    return probe_world(PAYS[name], HISTORIES)


def scene(updates, users=48):
    return tiny_scene(NETWORK, RULES, users=users, rollout=4, updates=updates, pool=16)


def logged_in(world, sessions=600, floor=1.0):
    """Sessions that a uniform policy recorded."""
    config = LoggedConfig(sessions=sessions, exponent=0.0, floor=floor)
    return recorded_sessions(world, scene(1).simulator, np.ones(ITEMS, np.float32), [0, 1], config)


@partial(jax.jit, static_argnums=(0, 1, 4))
def greedy_reward(stages, seeds, world, logged, sessions=200):
    """Reward per turn of greedy sessions after the stages, each started from the one before; for every seed.

    Args:
        stages: (learner, hyper) in order; hyper is hashable.
        seeds: how many.
        world: of the users.
        logged: sessions that were logged before, or None.
        sessions: of every seed's evaluation.
    """

    def one_seed(key):
        key, play_key, start_key = jax.random.split(key, 3)
        product = NETWORK.init(start_key, 2)
        for learner, hyper in stages:
            data = Data(world=world, logged=logged)
            key, run_key = jax.random.split(key)
            run = learner.init(run_key, hyper, data, (product,))
            run = jax.lax.scan(
                lambda run, _, learner=learner, hyper=hyper, data=data: (learner.update(run, hyper, data)[0], None),
                run, None, length=learner.updates,
            )[0]  # fmt: skip
            product = learner.product(run)
        played = play(
            play_key, learner.actor(run, hyper, data.hidden(), True), learner.scene.simulator, world, sessions
        )
        return jnp.sum(played.rewards) / jnp.sum(played.length.astype(jnp.float32))

    return jax.vmap(one_seed)(jax.random.split(jax.random.key(0), seeds))
