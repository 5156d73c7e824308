"""SQN: SNQN without negatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_optima import ITEMS, OPTIMUM, greedy_reward, logged_in, scene, world_of

from ialp_jax.methods import get
from ialp_jax.methods.learners.two_heads import TwoHeadConfig, TwoHeadHyper, TwoHeadLearner, other_items

pytestmark = pytest.mark.usefixtures("batched_keys")


def test_it_is_snqn_with_no_negatives():
    """By its stages; all else of the two is equal."""
    (learnt, served), (other, _) = (get(name).options().stages(None) for name in ("sqn", "snqn"))
    assert learnt.config == TwoHeadConfig(negatives=0) and other.config.negatives > 0
    assert (learnt.learner, learnt.hyper, learnt.needs) == (other.learner, other.hyper, other.needs)
    assert served.before == (learnt,)


def test_no_negative_is_drawn():
    rows = logged_in(world_of("by the history"), sessions=6).rows(jnp.arange(5), ITEMS)
    assert other_items(jax.random.key(0), rows, 0, ITEMS).shape == (0, 5)


def test_from_logs_of_random_recommendations_alone_it_nears_the_optimum():
    """Of what was liked of them."""
    learner = TwoHeadLearner(scene(1), TwoHeadConfig(updates=600, batch=64, negatives=0))
    hyper, world = TwoHeadHyper(learning_rate=1e-2, liked=0.5), world_of("by the history")
    reward = greedy_reward(((learner, hyper),), 3, world, logged_in(world))
    assert np.mean(reward) >= 0.95 * OPTIMUM, reward
