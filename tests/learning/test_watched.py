"""What learners tell of their health: in known cases by hand, in sound runs nothing, in broken ones what is broken."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, NETWORK, scene, world_of

from ialp_jax.health import stage_health, watched
from ialp_jax.learning.hyper import GradientHyper
from ialp_jax.learning.optimiser import GRADIENT_CLIPPED, GRADIENT_SIZE, gradient_step, optimiser
from ialp_jax.learning.watched import ratio_clipped, value_scale
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.actor_critic import ActorCriticLearner
from ialp_jax.methods.named.ppo import PPOHyper, PPOLearner

UPDATES = 60
MEAN, MOST, RATIO = watched("value_mean"), watched("value_largest"), watched("ratio_clipped")


def test_values_are_compared_with_what_the_largest_reward_for_ever_is_worth():
    values, rewards = jnp.array([[1.0, -6.0], [2.0, 0.0]]), jnp.array([0.5, -0.25, 0.0])
    told = value_scale(values, rewards, 0.75)
    assert (
        told
        == value_scale(values, -rewards, 0.75)
        == {MEAN: pytest.approx(9 / 4 / 2), MOST: pytest.approx(3.0)}
    )
    assert value_scale(values, jnp.zeros(3), 0.75) == {MEAN: 0.0, MOST: 0.0}


def test_a_ratio_at_its_bound_is_not_clipped_and_rounding_does_not_clip_it():
    ratios = jnp.array([[1.0, 1.0000002, 0.5], [1.5, 3.0, 0.0]])
    behaviour = jnp.full((2, 3), 0.125)
    for clip, share in ((1.0, 2 / 6), (2.0, 1 / 6)):
        told = ratio_clipped(jnp.log(ratios * behaviour), jnp.log(behaviour), clip)
        assert float(told[RATIO]) == pytest.approx(share)


@pytest.mark.parametrize(("gradient", "clipped"), [(0.9, 0.0), (1.1, 1.0)])
def test_a_step_tells_whether_its_gradients_were_scaled_down(gradient, clipped):
    params = {"one": jnp.zeros(2)}
    gradients = {"one": jnp.array([0.0, gradient])}
    told = gradient_step(params, optimiser().init(params), gradients, GradientHyper(gradient_norm=1.0))[2]
    assert told == {GRADIENT_CLIPPED: clipped, GRADIENT_SIZE: pytest.approx(max(1.0, gradient))}


@pytest.mark.parametrize(
    ("gradient", "bound", "taken"), [(3.0, 1.5, 1.5), (0.5, 1.5, 0.5), (8.0, 0.25, 0.25)]
)
def test_gradients_are_scaled_down_to_their_bound_and_never_up(gradient, bound, taken):
    """Seen in Adam's running mean of them: its steps do not depend on their size."""
    params = {"one": jnp.zeros(2), "two": jnp.zeros(1)}
    gradients = {"one": jnp.array([0.0, 0.6 * gradient]), "two": jnp.array([0.8 * gradient])}
    state = gradient_step(params, optimiser().init(params), gradients, GradientHyper(gradient_norm=bound))[1]
    np.testing.assert_allclose(state.mu["one"], [0.0, 0.06 * taken], rtol=1e-6)
    np.testing.assert_allclose(state.mu["two"], [0.08 * taken], rtol=1e-6)


@partial(jax.jit, static_argnums=0)
def metrics_of(learner, hypers):
    """Of a run with each of the numbers [S], from the same parameters: name -> [S, updates]."""
    data = Data(world=world_of("by the history"))

    def one_run(hyper):
        start = learner.init(jax.random.key(1), hyper, data, (NETWORK.init(jax.random.key(0), 2),))
        return jax.lax.scan(
            lambda run, _: learner.update(run, hyper, data), start, None, length=learner.updates
        )[1]

    return jax.vmap(one_run)(hypers)


def left(learner, *hypers):
    """Metrics that left their range, for each of the numbers."""
    stacked = jax.tree.map(lambda *numbers: jnp.array(numbers, jnp.float32), *hypers)
    metrics = {name: np.asarray(values) for name, values in metrics_of(learner, stacked).items()}
    records = [
        stage_health("stage", learner.updates, {name: values[[place]] for name, values in metrics.items()})
        for place in range(len(hypers))
    ]
    return [{departure["metric"] for departure in record["left"]} for record in records]


@pytest.mark.usefixtures("batched_keys")
def test_a_sound_actor_critic_raises_no_alarm_and_broken_ones_do():
    sound, hasty, growing = left(
        ActorCriticLearner(scene(UPDATES)),
        GradientHyper(),
        GradientHyper(learning_rate=3.0),
        GradientHyper(learning_rate=0.05, entropy=0.0),
    )
    assert sound == set()
    assert {"entropy", MEAN, MOST, GRADIENT_SIZE} <= hasty
    assert MEAN in growing and "entropy" not in growing


@pytest.mark.usefixtures("batched_keys")
def test_a_sound_ppo_raises_no_alarm_and_one_that_is_sure_too_soon_or_clips_nearly_everything_does():
    sound, sure, tied = left(
        PPOLearner(scene(UPDATES)),
        PPOHyper(),
        PPOHyper(learning_rate=0.3),
        PPOHyper(learning_rate=0.05, clip=0.01),
    )
    # Whether the values of the broken ones pass their bound too differs between processors.
    assert sound == set()
    assert "entropy" in sure and "clip_fraction" not in sure
    assert "clip_fraction" in tied and "entropy" not in tied


def test_the_worlds_of_these_tests_have_many_items_to_explore():
    assert np.log(ITEMS) > 2.0  # an entropy that collapses has somewhere to fall from
