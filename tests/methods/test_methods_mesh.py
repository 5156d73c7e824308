"""Four devices that share the users of a run: learners of every kind do what one device does; the kit asks two of every method."""

import io

import jax
import numpy as np
import pytest
from item_choices import random_offline_factors
from random_worlds import random_world
from rich.console import Console
from tiny_runs import tiny_network, tiny_params, tiny_scene

from ialp_jax.artifacts import InputError
from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.actor_critic import ActorCriticConfig, ActorCriticLearner
from ialp_jax.methods.learners.feedback import FeedbackConfig
from ialp_jax.methods.learners.lagging import ReplayConfig
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.bc import CloningHyper, CloningLearner
from ialp_jax.methods.named.dqn import DQNConfig, DQNHyper, DQNLearner
from ialp_jax.methods.named.iql import IQLHyper, IQLOnline
from ialp_jax.methods.named.linear_bandit import LinearBanditHyper, LinearBanditLearner
from ialp_jax.methods.named.mf_planner_online import OnlineFactorsHyper, OnlineFactorsLearner
from ialp_jax.study.logged import LoggedConfig, recorded_sessions
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.loop import LoopConfig, seed_keys, train
from ialp_jax.training.mesh import MeshConfig, make_mesh
from ialp_jax.training.progress import step_bar
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

pytestmark = pytest.mark.usefixtures("batched_keys")
ITEMS, USERS, UPDATES = 30, 16, 8
NETWORK, RULES = tiny_network(ITEMS, block_rows=16), SimulatorConfig(turn_cap=5)
SCENE = tiny_scene(NETWORK, RULES, users=USERS, rollout=4, updates=UPDATES, pool=USERS)
WORLD = random_world(users=40, items=ITEMS, history=4, seed=1)
PARAMS = tiny_params(NETWORK)
FITTED = tiny_scene(
    tiny_network(ITEMS, "session"), RULES, users=USERS, rollout=4, updates=UPDATES, pool=USERS
)
FITTING = ActorCriticConfig(model=FeedbackConfig(feedback_steps=2, kept_decisions=8 * USERS))
CASES = {
    "a2c": (ActorCriticLearner(FITTED, FITTING), ActorCriticHyper(), (tiny_params(FITTED.network),)),
    "dqn": (DQNLearner(SCENE, DQNConfig(gradient_steps=2, rows=2, kept_turns=16)), DQNHyper(explore_share=0.5), (PARAMS,)),
    "iql": (IQLOnline(SCENE, ReplayConfig(gradient_steps=2, logged_rows=16, kept_turns=16)), IQLHyper(), ((PARAMS, PARAMS),)),
    "bc": (CloningLearner(SCENE, OfflineConfig(updates=UPDATES, batch=32)), CloningHyper(), (PARAMS,)),
    "mf_planner_online": (OnlineFactorsLearner(SCENE), OnlineFactorsHyper(), ()),
    "linear_bandit": (LinearBanditLearner(SCENE), LinearBanditHyper(), ()),
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    config = LoggedConfig(sessions=40)
    return Data(
        world=WORLD,
        logged=recorded_sessions(WORLD, Simulator(RULES), np.ones(ITEMS), np.arange(40), config),
        fitted=random_offline_factors(ITEMS, rank=3),
    )


def trained(case, data, folder, mesh):
    learner, hyper, start = case
    begin = jax.jit(jax.vmap(lambda key: learner.init(key, hyper, data, start)))
    with step_bar("name", Console(file=io.StringIO())) as watch:
        return train(
            learner,
            lambda: begin(seed_keys(np.arange(1), 1)),
            hyper,
            data,
            LoopConfig(4),
            CheckpointStore(folder, "case"),
            watch,
            mesh=mesh,
        )


@pytest.mark.parametrize("name", CASES)
def test_four_devices_do_what_one_does(name, data, tmp_path):
    mesh = make_mesh(MeshConfig(run=1, user=4), 1, USERS, USERS)
    alone, shared = (trained(CASES[name], data, tmp_path / str(one is None), one) for one in (None, mesh))
    learner, hyper, start = CASES[name]
    product = jax.vmap(learner.product)
    begun = product(jax.vmap(lambda key: learner.init(key, hyper, data, start))(seed_keys(np.arange(1), 1)))
    pairs = list(zip(*(jax.tree.leaves(product(one.run)) for one in (alone, shared)), strict=True))
    moved = [
        np.abs(np.asarray(left) - np.asarray(old)).max()
        for (left, _), old in zip(pairs, jax.tree.leaves(begun), strict=True)
    ]
    assert max(moved) > 1e-4
    for left, right in pairs:
        np.testing.assert_allclose(np.asarray(left), np.asarray(right), rtol=1e-3, atol=1e-4)
    for metric, values in alone.metrics.items():
        np.testing.assert_allclose(values, shared.metrics[metric], rtol=1e-3, atol=1e-3, err_msg=metric)


def test_a_batch_that_devices_cannot_share_is_refused(data, tmp_path):
    odd = CloningLearner(SCENE, OfflineConfig(updates=UPDATES, batch=30))
    with pytest.raises(InputError, match="30 logged turns cannot be divided among 4 devices"):
        trained(
            (odd, *CASES["bc"][1:]), data, tmp_path, make_mesh(MeshConfig(run=1, user=4), 1, USERS, USERS)
        )
