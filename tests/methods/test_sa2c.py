"""SA2C: its weights, the policy they imitate in M4, what they know of the policy that logged, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tabular_network
from small_optima import ITEMS, OPTIMUM, PAYS, greedy_reward, logged_in, scene, world_of
from tabular import BEHAVIOUR
from tabular_network import LIVING, largest, m4_rows, table_params

from ialp_jax.methods import get
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.two_heads import (
    Read,
    TwoHeadConfig,
    TwoHeadHyper,
    TwoHeadLearner,
    TwoHeads,
    head_of,
    two_head_loss,
)
from ialp_jax.methods.named.sa2c import SA2CHyper, SA2CLearner, imitation_weight, log_popularity
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import apply
from ialp_jax.study.logged import LoggedConfig, recorded_sessions
from ialp_jax.study.stages import stages_of

pytestmark = pytest.mark.usefixtures("batched_keys")


def seen(action_value, others, log_prob):
    column = lambda numbers: jnp.asarray(numbers, jnp.float32)[:, None]  # noqa: E731
    return Read(jnp.array([log_prob]), jnp.zeros(1), jnp.array([action_value]), column(others))


@pytest.mark.parametrize(
    ("action_value", "others", "ratio", "smooth", "expected"),
    [
        (3.0, [1.0, 2.0], 4.0, 0.0, 1.0),
        (3.0, [1.0, 2.0], 4.0, 0.5, 2.0),
        (3.0, [1.0, 2.0], 400.0, 1.0, 10.0),
        (3.0, [1.0, 2.0], 0.01, 1.0, 0.1),
        (3.0, [1.0, 2.0], 0.01, 2.0, 0.01),
        (1.0, [2.0, 3.0], 4.0, 0.5, 0.0),
        (99.0, [0.0, 0.0], 1.0, 0.0, 10.0),
    ],
)
def test_the_weights_are_clipped_advantages_times_clipped_ratios(
    action_value, others, ratio, smooth, expected
):
    weight = imitation_weight(
        seen(action_value, others, np.log(0.2)), jnp.log(jnp.array([0.2 / ratio])), smooth
    )
    assert float(weight[0]) == pytest.approx(expected, rel=1e-5)


TABLE = np.array([[1, 4, 5], [5, 1, 4.5], [0, 2, 2.5], [0, 0, 0]])


@pytest.mark.parametrize("smooth", [0.0, 0.5])
def test_the_policy_it_imitates_has_a_closed_form(smooth):
    """M4: pi = mu A pi^smooth / mu^smooth, up to its sum; so pi is mu A^(1 / (1 - smooth)) where A > 0, and else 0."""
    weights = np.maximum(TABLE - TABLE.mean(axis=1, keepdims=True), 0.0) ** (1.0 / (1.0 - smooth))
    weights[LIVING] = 1.0
    wanted = BEHAVIOUR * weights / (BEHAVIOUR * weights).sum(axis=1, keepdims=True)
    rows = m4_rows()
    states = np.asarray(rows.window.feedback[:, -1], np.int32)
    log_behaviour = jnp.log(jnp.asarray(BEHAVIOUR, jnp.float32))[states, rows.action]
    others = (rows.action[None] + jnp.array([[1], [2]])) % 3
    hyper = TwoHeadHyper(value_weight=0.0, liked=0.0)
    head = head_of(table_params(TABLE))

    @jax.jit
    def slope(scores):
        one = TwoHeads(table_params(scores), head)

        def loss(params):
            weigh = lambda seen: imitation_weight(seen, log_behaviour, smooth)  # noqa: E731
            return two_head_loss(params, one, tabular_network.NETWORK, rows, others, hyper, weigh)[0]

        return jax.grad(loss)(one)

    assert largest(slope(np.log(wanted + 1e-7))) < 3e-5 < 1e-2 < largest(slope(np.log(BEHAVIOUR)))


def test_the_logging_policy_is_what_was_recorded_else_popularity():
    logged, learner = (
        logged_in(world_of("by the history"), sessions=20),
        SA2CLearner(scene(1), TwoHeadConfig()),
    )
    rows = logged.rows(jnp.arange(6), ITEMS)
    said = seen(3.0, [1.0, 2.0], np.log(0.2))
    actions = np.asarray(logged.action)[tuple(np.asarray(logged.turns).T)]
    shares = np.bincount(actions, minlength=ITEMS) / len(actions)
    assert shares.min() > 0.0
    np.testing.assert_allclose(log_popularity(logged, ITEMS), np.log(shares), rtol=1e-5)
    hyper = SA2CHyper(smooth=0.5)
    for known, expected in (
        (logged, np.exp(rows.log_propensity)),
        (logged.replace(exact=False), shares[np.asarray(rows.action)]),
    ):
        weight = learner.weight(said, rows, learner.behaviour(Data(logged=known)), hyper)
        np.testing.assert_allclose(weight, np.sqrt(np.clip(0.2 / expected, 0.1, 10.0)), rtol=1e-4)


def test_its_first_phase_is_snqns_and_so_are_its_numbers():
    config = apply(
        StudyConfig(methods=("sa2c", "snqn")), {"methods.snqn.discount": 0.7, "methods.snqn.negatives": 3}
    )
    first, second, served = stages_of(get("sa2c"), config)
    assert first == stages_of(get("snqn"), config)[0] and second.before == (first,) == second.after
    assert (second.hyper.discount, second.config.negatives, served.before) == (0.7, 3, (second,))
    assert second.hyper.learning_rate != first.hyper.learning_rate


def test_it_learns_from_a_policy_that_prefers_what_does_not_pay():
    """Everything is imitated, whether it was liked or not: the weights alone tell what pays."""
    world = world_of("the same for everybody")
    popularity = np.where(PAYS["the same for everybody"][0] > 0, 1.0, 2.0).astype(np.float32)
    logs = recorded_sessions(world, scene(1).simulator, popularity, [0, 1],
                             LoggedConfig(sessions=600, exponent=1.0, floor=0.2))  # fmt: skip
    config, every = (
        TwoHeadConfig(updates=400, batch=64, negatives=3),
        SA2CHyper(learning_rate=1e-2, liked=0.0),
    )
    stages = (TwoHeadLearner(scene(1), config), every), (SA2CLearner(scene(1), config), every)
    reward = greedy_reward(stages, 3, world, logs)
    cloning = TwoHeadLearner(scene(1), config), every.replace(value_weight=0.0)
    cloned = greedy_reward((cloning,), 3, world, logs)
    assert np.mean(reward) >= 0.95 * OPTIMUM > 0.7 * OPTIMUM > np.mean(cloned), (reward, cloned)
