"""Teachers of pre-training: the one-step oracle of an imagined world shows the best item that keeps the user."""

import jax
import jax.numpy as jnp
import numpy as np
from random_worlds import random_world

from ialp_jax.methods.learners.teaching import teacher_of
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.world import DenseRatings

SIMULATOR = Simulator(SimulatorConfig(rules=("distance",)))


def taught(name, ratings, shown):
    """Items that a teacher shows in 64 draws, to user 0 who was just recommended `shown`."""
    world = random_world(0).replace(
        ratings=DenseRatings(jnp.asarray(ratings, jnp.float32)), rating_noise=jnp.float32(0.0),
        item_vectors=jnp.arange(14.0)[:, None],
        departure=random_world(0).departure.replace(distance_threshold=jnp.float32(2.5)),
    )  # fmt: skip
    state, _ = SIMULATOR.start(jnp.int32(0), world)
    state, step = SIMULATOR.step(jax.random.key(0), state, jnp.int32(shown), world)
    teacher = teacher_of(name, SIMULATOR)
    keys = jax.random.split(jax.random.key(1), 64)
    items = jax.jit(jax.vmap(lambda key: teacher(key, state, step, world)))(keys)
    return set(items.tolist()), set(np.flatnonzero(step.action_mask(14)).tolist())


def test_the_oracle_passes_over_better_items_that_make_the_user_leave():
    ratings = np.tile(np.linspace(1.0, 5.0, 14), (6, 1))
    items, permitted = taught("oracle", ratings, shown=12)
    assert items == {max(item for item in permitted if abs(item - 12) > 2.5)}
    drawn, permitted = taught("proportional", ratings, shown=12)
    assert drawn <= permitted and len(drawn) > 3


def test_neither_teacher_shows_anything_where_nothing_pays():
    for name in ("oracle", "proportional"):
        assert taught(name, np.zeros((6, 14)), shown=3)[0] == {-1}
