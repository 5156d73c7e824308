"""OptiDICE's dual on M4 against an exact solver's numbers, and the bias of one sample."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from tabular import BEHAVIOUR, DISCOUNT, REWARDS, TRANSITIONS

from ialp_jax.learning.dice import (
    DiceHyper,
    DualConfig,
    Multipliers,
    Values,
    density_ratio,
    dice_loss,
    errors,
    log_density_ratio,
)

pytestmark = pytest.mark.usefixtures("double")
END = 3
CHAIN = np.einsum("sa,sat->st", BEHAVIOUR, TRANSITIONS)
VISITS = (0.1 * np.linalg.solve(np.eye(4) - DISCOUNT * CHAIN.T, np.eye(4)[0]))[:, None] * BEHAVIOUR
STATE, ACTION, AFTER = (part.ravel() for part in np.indices((3, 3, 4)))
CHANCE = (VISITS[:3, :, None] * TRANSITIONS[:3]).ravel()
LIVE = CHANCE.sum()
ENDED = CHANCE[AFTER == END].sum() / LIVE
LOOPS = VISITS[END].sum() / CHANCE[AFTER == END].sum()


def rows_of(nu, action_values):
    """Every (s, a, s') of M4 as a row; nu of three states, q of their actions."""
    seen = jnp.append(nu, 0.0)  # what stands at a departure is not to be read
    return Values(jnp.asarray(REWARDS[STATE, ACTION]), jnp.asarray(AFTER == END), nu[STATE], seen[AFTER],
                  action_values[STATE, ACTION])  # fmt: skip


def losses(unknown, action_values, alpha, config, discount=DISCOUNT):
    """(loss, metrics) of `dice_loss` over M4's rows, each as often as the behaviour makes it, one by one."""
    nu, scalars = unknown[:3], Multipliers(unknown[4], unknown[3])
    hyper = DiceHyper(discount=discount, alpha=alpha)

    def of_row(row):
        one = jax.tree.map(lambda leaf: leaf[None], row)
        return dice_loss(nu[:1], one, scalars, ENDED, hyper, config, LOOPS)

    found = jax.vmap(of_row)(rows_of(nu, action_values))
    return jax.tree.map(lambda of_rows: jnp.asarray(CHANCE / LIVE) @ of_rows, found)


def expected_goal(unknown):
    """r + gamma E nu(s') of every state and action."""
    after = jnp.asarray(TRANSITIONS[:3]) @ unknown[:4]
    return jnp.asarray(REWARDS[:3]) + DISCOUNT * after


def solved(alpha, config):
    """(unknowns nu of 4 states and lambda, the dual there, weights of logged rows, weights of q, its policies)."""

    def dual(unknown):
        fitted = jax.lax.stop_gradient(expected_goal(unknown))
        return losses(unknown, fitted, alpha, config)[1]["dual_loss"]

    step = jax.jit(jax.value_and_grad(dual))
    unknown = np.zeros(5)
    for _ in range(6):
        found = minimize(lambda at: tuple(np.asarray(part) for part in step(at)), unknown, jac=True, method="L-BFGS-B",
                         options={"maxiter": 5000, "ftol": 1e-16, "gtol": 1e-13})  # fmt: skip
        unknown = found.x
    values = rows_of(jnp.asarray(unknown[:3]), expected_goal(jnp.asarray(unknown)))
    scalars = Multipliers(unknown[4], unknown[3])
    logged, mean, _ = errors(values, scalars, DiceHyper(discount=DISCOUNT, alpha=alpha), config)
    visits = []
    for error in (logged, mean):
        weight = CHANCE * np.asarray(density_ratio(error / alpha, config.divergence))
        table = np.zeros((3, 3))
        np.add.at(table, (STATE, ACTION), weight)
        visits.append(table)
    return unknown, float(found.fun), visits


def policy_of(visits):
    return visits / visits.sum(axis=1, keepdims=True)


def score(policy):
    """V(s_0)."""
    chain = np.einsum("sa,sat->st", policy, TRANSITIONS[:3, :, :3])
    return np.linalg.solve(np.eye(3) - DISCOUNT * chain, (policy * REWARDS[:3]).sum(axis=1))[0]


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


EXACT = DualConfig("chi2", "averaged", absorbing=True, normalised=False)
SAMPLED = replace(EXACT, expectation="sampled")
GOLDEN = {
    1.0: (0.07097861, 0.746707, [[0.509872, 0.308761, 0.181367], [0.290326, 0.460571, 0.249102],
                                 [0.401592, 0.281159, 0.317249]]),
    0.1: (0.10287328, 1.313644, [[0.610677, 0.389323, 0], [0.797470, 0.202530, 0], [0.291383, 0.708617, 0]]),
    0.01: (0.14031782, 1.449471, [[0.707984, 0.292016, 0], [1, 0, 0], [0, 1, 0]]),
}  # fmt: skip


@pytest.mark.parametrize("alpha", GOLDEN)
def test_the_dual_with_the_mean_over_feedback_is_exact(alpha):
    dual, worth, policy = GOLDEN[alpha]
    unknown, found, (_, visits) = solved(alpha, EXACT)
    assert found == pytest.approx(dual, abs=6e-9)
    np.testing.assert_allclose(policy_of(visits), policy, atol=6e-7)
    assert score(policy_of(visits)) == pytest.approx(worth, abs=6e-7)
    loop = float(density_ratio(jnp.asarray((DISCOUNT - 1.0) * unknown[3] / alpha), "chi2"))
    assert visits.sum() + VISITS[END].sum() * loop == pytest.approx(1.0, abs=1e-7)
    # What flows into a state flows out of it.
    inflow = 0.1 * np.eye(3)[0] + DISCOUNT * np.einsum("sa,sat->t", visits, TRANSITIONS[:3])[:3]
    np.testing.assert_allclose(visits.sum(axis=1), inflow, atol=1e-8)


def test_of_one_sample_it_is_biased():
    """The same loss with the logged s' in the convex function: M4's exact policy scores 1.313644, these far less."""
    _, dual, (cloned, of_q) = solved(0.1, SAMPLED)
    assert dual == pytest.approx(0.12128715, abs=6e-9)
    assert policy_of(cloned)[0] == pytest.approx([0.485683, 0.401311, 0.113006], abs=6e-7)
    assert score(policy_of(cloned)) == pytest.approx(1.103692, abs=6e-7)
    assert score(policy_of(of_q)) == pytest.approx(1.146507, abs=6e-7)
    _, dual, (cloned, _) = solved(1.0, SAMPLED)
    assert dual == pytest.approx(0.07280790, abs=6e-9)
    assert policy_of(cloned)[0] == pytest.approx([0.496621, 0.309149, 0.194230], abs=6e-7)
    assert score(policy_of(cloned)) == pytest.approx(0.736062, abs=6e-7)


def test_soft_chi2_keeps_every_logged_action():
    _, _, (_, visits) = solved(0.1, replace(EXACT, divergence="soft_chi2"))
    assert policy_of(visits)[0] == pytest.approx([0.608447, 0.368887, 0.022667], abs=6e-7)
    assert score(policy_of(visits)) == pytest.approx(1.275078, abs=6e-7)


def test_small_alpha_is_the_linear_program_and_large_alpha_the_logging_policy():
    assert solved(1e-3, EXACT)[1] == pytest.approx(0.14523938, abs=1e-3)
    np.testing.assert_allclose(policy_of(solved(1e4, EXACT)[2][1]), BEHAVIOUR[:3], atol=1e-3)


def test_the_normaliser_changes_no_weight():
    """(nu, lambda) are one too many: weights are compared, never nu."""
    plain, normalised = (solved(0.1, replace(EXACT, normalised=on)) for on in (False, True))
    np.testing.assert_allclose(normalised[2][1], plain[2][1], atol=1e-6)
    assert normalised[1] == pytest.approx(plain[1], abs=1e-8)
    moved = plain[0] + np.array([1.0, 1.0, 1.0, 1.0, -(1 - DISCOUNT)])
    config = replace(EXACT, normalised=True)
    dual = losses(jnp.asarray(moved), expected_goal(jnp.asarray(moved)), 0.1, config)[1]["dual_loss"]
    assert float(dual) == pytest.approx(plain[1], abs=1e-8)


def test_gradients_vanish_at_the_optimum_where_feedback_is_averaged():
    """Of the loss that is trained, all rows with one s' each; the sampled loss pushes away from there."""
    unknown = jnp.asarray(solved(0.1, EXACT)[0])
    slopes = {
        config.expectation: jax.grad(lambda *at, config=config: losses(*at, 0.1, config)[0], argnums=(0, 1))(
            unknown, expected_goal(unknown)
        )
        for config in (EXACT, SAMPLED)
    }
    assert max(np.abs(slope).max() for slope in slopes["averaged"]) < 1e-6
    assert np.abs(slopes["sampled"][0]).max() > 0.05


@pytest.mark.parametrize(
    "divergence, alpha, nu, policy",
    [
        ("chi2", 1.0, 0.9, [0.55, 0.03, 0.42]),
        ("chi2", 0.25, 1.178571, [1 / 7, 0, 6 / 7]),
        ("kl", 1.0, None, [0.433268, 0.095634, 0.471098]),
    ],
)
def test_one_step_weights(divergence, alpha, nu, policy):
    """A bandit: gamma 0, logged with (.5, .3, .2), paid (1, 0, 2)."""
    logged, config = np.array([0.5, 0.3, 0.2]), DualConfig(divergence, "sampled", False, False)
    rewards, hyper = jnp.array([1.0, 0.0, 2.0]), DiceHyper(discount=0.0, alpha=alpha)
    scalars = Multipliers(jnp.float64(0.0), jnp.float64(0.0))

    def dual(at):
        def of_row(reward):
            one = Values(reward[None], jnp.zeros(1, bool), at, at, at)
            return dice_loss(at, one, scalars, 0.0, hyper, config)[1]["dual_loss"]

        return jnp.asarray(logged) @ jax.vmap(of_row)(rewards)

    step = jax.jit(jax.value_and_grad(dual))
    found = minimize(lambda at: tuple(np.asarray(part) for part in step(at)), np.zeros(1), jac=True, method="L-BFGS-B",
                     options={"ftol": 1e-16, "gtol": 1e-12})  # fmt: skip
    assert nu is None or found.x[0] == pytest.approx(nu, abs=6e-7)
    weight = np.asarray(density_ratio((rewards - found.x[0]) / alpha, divergence))
    assert logged @ weight == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(logged * weight, policy, atol=6e-7)
    if nu == 0.9:
        np.testing.assert_allclose(weight, [1.1, 0.1, 2.1], atol=6e-7)


def test_log_ratios_are_the_logarithms_of_ratios_below_zero_too():
    """The public code gives log eps for every error below 0, where chi2's ratio is above 0 down to -alpha."""
    scaled = jnp.array([-0.9, -0.5, 0.0, 3.0])
    for divergence in ("chi2", "soft_chi2", "kl"):
        np.testing.assert_allclose(
            log_density_ratio(scaled, divergence), np.log(density_ratio(scaled, divergence)), atol=1e-9
        )
    assert float(log_density_ratio(jnp.float64(-2.0), "chi2")) == pytest.approx(np.log(1e-6))


def test_a_departure_leads_to_the_absorbing_state_and_scaled_rewards_are_as_a_scaled_alpha():
    one = jnp.ones(2)
    values = Values(0.5 * one, jnp.array([False, True]), one, 2.0 * one, one)
    scalars, hyper = Multipliers(jnp.float64(0.3), jnp.float64(-4.0)), DiceHyper(discount=0.9, alpha=0.5)
    with_state = errors(values, scalars, hyper, replace(EXACT, normalised=True))[0]
    np.testing.assert_allclose(with_state, [0.5 + 1.8 - 1.3, 0.5 - 3.6 - 1.3])
    np.testing.assert_allclose(
        errors(values, scalars, hyper, replace(EXACT, absorbing=False))[0], [1.3, -0.5]
    )
    tenfold = jax.tree.map(lambda leaf: 10.0 * leaf if leaf.dtype != bool else leaf, values)
    tenfold = tenfold.replace(reward=values.reward)
    larger = errors(
        tenfold,
        jax.tree.map(lambda leaf: 10.0 * leaf, scalars),
        hyper.replace(reward_scale=10.0),
        EXACT,
    )[0]
    np.testing.assert_allclose(larger / 5.0, errors(values, scalars, hyper, EXACT)[0] / 0.5)
