"""Top-K REINFORCE: its factor, the policy it ends at, its second head, and what it learns from logs."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tabular_network
from small_optima import ITEMS, OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tabular_network import experience, largest, table_params
from tiny_runs import tiny_params

from ialp_jax.learning.logged import discounted, paid_in_logs
from ialp_jax.methods.learners.offline import OfflineConfig
from ialp_jax.methods.learners.two_heads import TwoHeads, head_of
from ialp_jax.methods.named.topk_reinforce import TopKHyper, TopKLearner, top_k_factor, top_k_loss
from ialp_jax.study.logged import LoggedConfig, recorded_sessions

pytestmark = pytest.mark.usefixtures("batched_keys")
NETWORK = tabular_network.NETWORK
QUICK = TopKHyper(learning_rate=1e-2, discount=0.5, slate=2.0)


@pytest.mark.parametrize(
    ("slate", "chance", "factor"),
    [
        (16.0, 0.1, 3.294258),
        (16.0, 0.0, 16.0),
        (1.0, 0.3, 1.0),
        (1.0, 1.0, 1.0),
        (2.5, 1.0, 0.0),
        (2.5, 1.0000001, 0.0),
    ],
)
def test_the_factors_golden_numbers(slate, chance, factor):
    said = top_k_factor(jnp.array([chance], jnp.float32), slate)
    assert float(said[0]) == pytest.approx(factor, abs=5e-7)


MU = np.array([0.5, 0.3, 0.2])
GAINS = np.array([1.0, 2.0, 4.0])
BANDIT = experience([0] * 10, [0] * 5 + [1] * 3 + [2] * 2, [0.0] * 10, [3] * 10)
BANDIT = BANDIT.replace(log_propensity=jnp.log(jnp.asarray(MU, jnp.float32))[BANDIT.action])


def bandit_slope(policy, slate, cap=1e3, behaviour=None):
    """Gradient of the loss at a policy over three items; mu is recorded unless a second head says it."""
    table = lambda row: table_params(np.array([row] + [[0.0] * 3] * 3))  # noqa: E731
    head = {} if behaviour is None else head_of(table(np.log(behaviour)))
    params, hyper = TwoHeads(table(np.log(policy)), head), TopKHyper(slate=slate, weight_cap=cap)
    returns = jnp.asarray(GAINS, jnp.float32)[BANDIT.action]
    return jax.grad(lambda at: top_k_loss(at, NETWORK, BANDIT, returns, hyper, behaviour is None)[0])(params)


@pytest.mark.parametrize("behaviour", [None, MU])
def test_it_ends_where_the_chances_that_are_left_balance_the_gains(behaviour):
    """(1 - pi_a)^(K - 1) G_a is the same for all items: for K = 3, 1 - pi_a is in proportion to G_a^(-1/2) and sums to 2.

    The logging policy cancels, whether it was recorded or learnt.
    """
    policy = 1.0 - 2.0 * GAINS**-0.5 / np.sum(GAINS**-0.5)
    assert policy.min() > 0.0 and policy.sum() == pytest.approx(1.0)
    assert largest(bandit_slope(policy, 3.0, behaviour=behaviour)) < 1e-5
    assert largest(bandit_slope(policy, 2.0, behaviour=behaviour)) > 1e-2
    assert largest(bandit_slope(MU, 3.0, behaviour=behaviour)) > 1e-2


def test_weights_are_capped():
    """With all ratios at the cap and K = 1 it imitates by gains: pi in proportion to mu G."""
    policy = MU * GAINS / np.sum(MU * GAINS)
    assert largest(bandit_slope(policy, 1.0, cap=0.2)) < 1e-6 < 1e-2 < largest(bandit_slope(policy, 1.0))


def test_the_second_head_learns_the_logging_policy_and_moves_nothing_else():
    """In logs that say nothing of propensities; there is nothing to earn, so that nothing else moves anything."""
    network = scene(1).network
    one, fresh = tiny_params(network, 2), tiny_params(network, 2, seed=1)
    rows = logged_in(world_of("by the history"), sessions=6).rows(jnp.arange(12), ITEMS)

    @jax.jit
    def slope(params):
        loss = lambda at: top_k_loss(at, network, rows, jnp.zeros(12), TopKHyper(), False)[0]  # noqa: E731
        return jax.grad(loss)(params)

    gradients = slope(TwoHeads(one, head_of(fresh)))
    assert largest(gradients.network) == 0.0 < 1e-3 < largest(gradients.head)
    assert largest(bandit_slope(MU, 1.0, behaviour=MU).head) < 1e-6
    assert largest(bandit_slope(MU, 1.0, behaviour=MU[::-1]).head) > 1e-2


def test_masked_items_never_enter():
    """Item 2 may not be recommended: what it scores changes nothing, for either head."""
    rows = experience([0, 0], [0, 1], [0.0, 0.0], [3, 3], excluded=[[2], [2]])

    def losses(score):
        params = table_params([[1, 2, score]] + [[0] * 3] * 3)
        return top_k_loss(
            TwoHeads(params, head_of(params)), NETWORK, rows, jnp.array([1.0, 2.0]), TopKHyper(), False
        )

    (low, told), (high, _) = losses(-3.0), losses(9.0)
    assert float(low) == float(high)
    chances = np.exp([1.0, 2.0]) / np.exp([1.0, 2.0]).sum()
    assert float(told["behaviour_loss"]) == pytest.approx(-np.log(chances).mean(), rel=1e-5)


def test_returns_end_with_their_session():
    logged = logged_in(world_of("by the history"), sessions=6)
    logged = logged.replace(length=jnp.array([2, 4, 4, 4, 4, 4]))
    rewards = np.arange(1.0, 1.0 + logged.reward.size).reshape(logged.reward.shape)
    logged = logged.replace(reward=jnp.asarray(rewards, jnp.float32))
    numbers = jnp.array([0, 4])  # the first turns of two sessions
    assert logged.turns[numbers].tolist() == [[0, 0], [1, 0]]
    returns = discounted(paid_in_logs(logged, numbers, 4), 0.5)
    np.testing.assert_allclose(returns, [1 + 0.5 * 2, 5 + 0.5 * 6 + 0.25 * 7 + 0.125 * 8], rtol=1e-6)


@lru_cache
def biased():
    """What pays is logged half as often as what does not."""
    popularity = np.where(PAYS["the same for everybody"][0] > 0, 1.0, 2.0).astype(np.float32)
    return recorded_sessions(world_of("the same for everybody"), scene(1).simulator, popularity, [0, 1],
                             LoggedConfig(sessions=600, exponent=1.0, floor=0.2))  # fmt: skip


@pytest.fixture(scope="module")
def learner():
    return TopKLearner(scene(1), OfflineConfig(updates=400, batch=64))


@pytest.mark.parametrize("name", PAYS)
def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum(learner, name):
    world = world_of(name)
    reward = greedy_reward(((learner, QUICK),), 3, world, logged_in(world))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward


@pytest.mark.parametrize("exact", [True, False])
def test_it_learns_from_a_policy_that_prefers_what_does_not_pay(learner, exact):
    """Whether it was told that policy or has to learn it; cloning it would earn less than half."""
    logs = biased()
    assert float(jnp.mean(logs.reward)) < 0.5 * OPTIMUM
    reward = greedy_reward(
        ((learner, QUICK),), 3, world_of("the same for everybody"), logs.replace(exact=exact)
    )
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
