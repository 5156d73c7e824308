"""Small runs that several devices, or several processes, train together."""

import io
import os

import jax
import numpy as np
from random_worlds import random_world
from rich.console import Console
from tiny_runs import tiny_learner, tiny_network

from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.methods.base import Data
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.loop import LoopConfig, seed_keys, train
from ialp_jax.training.mesh import MeshConfig, make_mesh
from ialp_jax.training.progress import step_bar
from ialp_jax.worlds.simulator import SimulatorConfig
from ialp_jax.worlds.world import DenseRatings

ITEMS, USERS, UPDATES, CHUNK = 30, 16, 100, 50
SHAPE = {"users": USERS, "pool": USERS, "rollout": 4, "updates": UPDATES}
NETWORK = tiny_network(ITEMS, block_rows=16)


def shared_world():
    """A random world; in the LLM's world (where ratings are rewards) a third of the users like nothing."""
    world = random_world(users=40, items=ITEMS, history=4, seed=int(os.environ.get("WORLD_SEED", "1")))
    likes = (np.arange(40) % 3 > 0).astype(np.float32)[:, None]
    return world.replace(ratings=DenseRatings(world.ratings.table * likes))


def learner(**shape):
    return tiny_learner(NETWORK, SimulatorConfig(turn_cap=5), **SHAPE | shape)


def starts(chosen, seeds, hyper, policies=1):
    """Makes fresh run states of the first seeds, as `train` takes them."""
    data = Data(world=shared_world())

    def begin(key):
        param_key, key = jax.random.split(key)
        return chosen.init(key, hyper, data, (NETWORK.init(param_key, 4),) * policies)

    return lambda: jax.jit(jax.vmap(begin))(seed_keys(np.arange(seeds), 1))


def mesh_of(run, user, seeds=1):
    return make_mesh(MeshConfig(run, user), seeds, USERS, USERS)


def trained(folder, mesh, seeds, chosen=None, hyper=None, start=None, until=None):
    """Trains A2C, unless told otherwise, for 100 updates, or until told."""
    chosen, hyper = chosen or learner(), ActorCriticHyper() if hyper is None else hyper
    loop = LoopConfig(chunk=CHUNK, checkpoint_seconds=1e9)
    start, store = start or starts(chosen, seeds, hyper), CheckpointStore(folder, "shared")
    with step_bar("name", Console(file=io.StringIO())) as watch:
        return train(
            chosen, start, hyper, Data(world=shared_world()), loop, store, watch, until=until, mesh=mesh
        )


def numbers(trained):
    """What must be the same on any devices, by name."""
    run = trained.run
    named = {
        "items": run.serving.sessions.state.session_items,
        **{f"metrics/{k}": v for k, v in trained.metrics.items()},
    }
    parts = {"params": run.params, "optimiser": run.optimiser, "ledger": run.serving.ledger}
    for name, part in parts.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(part):
            named[name + jax.tree_util.keystr(path)] = leaf
    return {name: np.asarray(leaf) for name, leaf in named.items()}


def assert_same_numbers(found, wanted):
    """To 1e-4: parameters, ledgers (sums up to hundreds), metrics; and to the item what was recommended."""
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(found["items"], wanted["items"])
