"""Policy Expansion: the choice between two policies, the regressions' optimum, and what it learns beside a poor start."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from item_rows import p_value
from small_optima import ITEMS, OPTIMUM, greedy_reward, logged_in, scene, world_of
from small_optima import NETWORK as SMALL
from tabular import BEHAVIOUR
from tabular_network import LIVING, NETWORK, backed_up, largest, m4_rows, table_params
from tiny_runs import tiny_params

from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.lagging import ReplayConfig
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.named.iql import IQLHyper, IQLOffline
from ialp_jax.methods.named.pex import PEXHyper, PEXOnline, expanded_actor, pex_loss
from ialp_jax.worlds.types import Observation, Situation, limits

pytestmark = pytest.mark.usefixtures("batched_keys")
HYPER = PEXHyper(learning_rate=5e-3, discount=0.7, expectile=0.8, target_rate=0.02)
CERTAIN = 60.0 * np.eye(3)
"""Scores of which each row is certain of another item."""


def proposals(values, users=1, excluded=3, choice=10.0, greedy=False):
    """What is served where the frozen policy proposes item 0 and the new one item 1, of these values Q."""
    frozen, new = (table_params(np.tile(CERTAIN[item], (4, 1))) for item in (0, 1))
    # V is .5; of nothing that the critic's policy head says anything is read.
    critic = table_params(
        np.tile(CERTAIN[2], (4, 1)),
        values=[0.5] * 4,
        advantages=np.tile(np.subtract(values, 0.5), (4, 1)),
    )
    seen = Observation(jnp.full((users, 1), 3), jnp.zeros((users, 1)))
    situation = Situation(jnp.zeros(users, jnp.int32), seen, limits(jnp.full((users, 1), excluded)))
    actor = expanded_actor(NETWORK, frozen, {"actor": new, "critic": critic}, choice, greedy)
    return actor.act(jax.random.key(0), (), situation)


def test_the_choices_golden_number():
    """q = (1.0, 1.2) at inverse temperature 10, and as often as that the new policy's proposal is served."""
    item, kept = proposals([1.0, 1.2, 9.0], users=20000)
    np.testing.assert_allclose(kept.new, 0.880797, atol=5e-7)
    assert p_value(np.asarray(item), np.array([1 - 0.880797, 0.880797])) > 1e-3


def test_greedily_the_better_of_two_modes_is_served_and_what_is_excluded_is_no_mode():
    """Item 2, of the highest Q, is proposed by nobody; without item 0 the frozen policy has another mode."""
    assert proposals([1.0, 1.2, 9.0], greedy=True)[0].tolist() == [1]
    assert proposals([1.2, 1.0, 9.0], greedy=True)[0].tolist() == [0]
    assert proposals([9.0, 1.0, 1.2], excluded=0, greedy=True)[0].tolist() == [1]


def iql_optimum(expectile, beta):
    """Q and V of M4's behaviour by fixed-point iteration, and the policy that imitates it by exp(beta A)."""
    values = np.zeros(4)
    for _ in range(3000):
        table = backed_up(values)
        weights = BEHAVIOUR * np.where(table < values[:, None], 1.0 - expectile, expectile)
        values = (weights * table).sum(axis=1) / weights.sum(axis=1)
        values[LIVING] = 0.0
    imitated = BEHAVIOUR * np.exp(beta * (backed_up(values) - values[:, None]))
    return backed_up(values), values, imitated / imitated.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("expectile", "beta"), [(0.5, 0.0), (0.7, 3.0)])
def test_the_gradient_is_zero_at_the_tabular_optimum(expectile, beta):
    table, values, policy = iql_optimum(expectile, beta)
    if expectile == 0.5:  # V of the behaviour
        np.testing.assert_allclose(values, [0.672866, 0.832217, 0.648131, 0.0], atol=5e-7)
    critic = table_params(np.eye(4, 3), values, table - values[:, None])
    best = {"actor": table_params(np.log(policy)), "critic": critic}
    other = {
        "actor": table_params(np.log(policy[:, ::-1])),
        "critic": table_params(np.eye(4, 3), values + 0.1, table - values[:, None]),
    }
    hyper = PEXHyper(discount=0.9, expectile=expectile, inverse_temperature=beta)
    slope = jax.jit(jax.grad(lambda at, lagging: pex_loss(at, lagging, NETWORK, m4_rows(), hyper)[0]))
    found, elsewhere = slope(best, best), slope(other, best)
    for name in ("actor", "critic"):
        assert largest(found[name]) < 2e-6 < 1e-2 < largest(elsewhere[name]), name
    assert not np.any(elsewhere["critic"]["query_head"]["kernel"])  # its policy is not the one that learns


@dataclass(frozen=True)
class Mistaken(PEXOnline):
    """Its frozen policy is certain of two items that pay nothing to anybody; the new one starts untrained."""

    def init(self, key, hyper, data, start):
        """Brings both policies itself."""
        ((learnt, lagging),) = start
        learnt = {**learnt, "bias": jnp.zeros(ITEMS).at[jnp.array([0, 1])].set(30.0)}
        fresh = SMALL.init(jax.random.fold_in(key, 9), 2)
        return super().init(key, hyper, data, ((learnt, lagging), fresh))


CONFIG = ReplayConfig(gradient_steps=4, online_rows=2, logged_rows=96, kept_turns=64)


@pytest.fixture(scope="module")
def few():
    """Twelve logged sessions of the world that depends on the history."""
    world = world_of("by the history")
    return world, logged_in(world, sessions=12)


def test_the_policy_from_the_logs_stays_as_it_is_and_the_critic_goes_on_from_theirs(few):
    learner, data = PEXOnline(scene(150), CONFIG), Data(world=few[0], logged=few[1])
    old, lagging, fresh = (tiny_params(SMALL, 2, seed=seed) for seed in range(3))

    def first_update(key):
        run = learner.init(key, HYPER, data, ((old, lagging), fresh))
        return run, *learner.update(run, HYPER, data)

    run, after, metrics = jax.jit(first_update)(jax.random.key(0))
    begun = (run.params["critic"], run.target["critic"], run.params["actor"])
    assert jax.tree.all(jax.tree.map(np.array_equal, begun, (old, lagging, fresh)))
    assert jax.tree.all(jax.tree.map(np.array_equal, after.pretrained, old))
    for name in ("actor", "critic"):
        assert not np.array_equal(after.params[name]["items"], run.params[name]["items"]), name
    assert 0.0 < float(metrics["new"]) < 1.0
    rows, _ = learner.drawn(jax.random.key(1), after.replay, data)
    assert len(rows.action) == 2 * CONFIG.logged_rows  # half of them are the 48 users'


def test_a_new_policy_learns_beside_one_that_is_of_no_use(few):
    """The critic goes on from twelve logged sessions, and serves the frozen policy's items no longer."""
    short = IQLOffline(scene(1), OfflineConfig(updates=60, batch=32))
    hyper = IQLHyper(learning_rate=5e-3, discount=0.7, expectile=0.8, target_rate=0.02)
    reward = greedy_reward(((short, hyper), (Mistaken(scene(150), CONFIG), HYPER)), 4, *few)
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
