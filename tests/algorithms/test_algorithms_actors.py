"""No learner sees the truth: every learner's actor is traced without a simulator and without a world."""

import jax
import jax.numpy as jnp
import pytest
from random_worlds import random_world
from tiny_runs import tiny_learner, tiny_network, tiny_params

from ialp_jax.algorithms import adaptive, fixed, ialp
from ialp_jax.policies.fixed import OraclePolicy, RandomPolicy, ScorePolicy, fixed_actor, oracle_actor
from ialp_jax.serving.sessions import Actor, PrivilegedActor
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Observation, Situation

ITEMS, USERS = 14, 3
WORLD = random_world(users=6, items=ITEMS, history=4)
NETWORK = tiny_network(ITEMS)
PARAMS = tiny_params(NETWORK)
A2C = tiny_learner(NETWORK)
MIXTURE, VALUE = (
    adaptive.AdaptiveA2C(adaptive.Config(**vars(A2C.config), reading=reading), A2C.simulator, NETWORK)
    for reading in ("mixture", "value")
)
TAUGHT = ialp.IALP(A2C.config, A2C.simulator, NETWORK)
LEARNERS = {
    "a2c": (A2C, ialp.Hyper(), (PARAMS,)),
    "iALP with a teacher": (TAUGHT, ialp.Hyper(supervised=0.5), (PARAMS,)),
    "mixture": (MIXTURE, adaptive.Hyper(), (PARAMS, PARAMS)),
    "value choice": (VALUE, adaptive.Hyper(), (PARAMS, PARAMS)),
    "random": (fixed.Fixed(A2C.config, A2C.simulator, fixed_actor), RandomPolicy(ITEMS), ()),
    "scores": (fixed.Fixed(A2C.config, A2C.simulator, fixed_actor), ScorePolicy(jnp.ones((6, ITEMS))), ()),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learners_actor_is_traced_from_situations_alone(name):
    """The shapes below are all it is given: what a recommender sees of three users."""
    algorithm, hyper, starts = LEARNERS[name]
    run = jax.eval_shape(lambda key: algorithm.init(key, hyper, WORLD, *starts), jax.random.key(0))
    ints, floats = (
        lambda *shape, kind=kind: jax.ShapeDtypeStruct(shape, kind) for kind in (jnp.int32, jnp.float32)
    )
    seen = Observation(ints(USERS, 4), floats(USERS, 4))
    situation = Situation(ints(USERS), seen, ints(USERS, 7), ints(USERS, 0))

    def turn(key, run, situation):
        actor = algorithm.actor(run, hyper)
        assert isinstance(actor, Actor)
        recall = actor.begin(situation.observation)
        return actor.act(actor.keys(key, USERS), recall, situation)[0]

    items = jax.eval_shape(turn, jax.random.key(0), run, situation)
    assert items.shape == (USERS,) and items.dtype == jnp.int32


def test_the_oracle_and_the_teacher_are_privileged_and_nobody_else():
    oracle = oracle_actor(OraclePolicy(Simulator(SimulatorConfig())))
    assert isinstance(oracle, PrivilegedActor)
    assert isinstance(TAUGHT.rollout_actor(PARAMS), PrivilegedActor)
    assert isinstance(A2C.rollout_actor(PARAMS), Actor)
