"""No learner sees the truth: every actor of the registry is traced without a world, from what a recommender may see."""

import jax
import jax.numpy as jnp
import pytest
from random_worlds import random_world
from tiny_runs import in_world, tiny_learner, tiny_network, tiny_params, tiny_scene

from ialp_jax.methods import get, names
from ialp_jax.methods.base import UNTRAINED, Data
from ialp_jax.methods.learners.teaching import taught_actor
from ialp_jax.policies.actor import policy_actor
from ialp_jax.policies.fixed import OraclePolicy, oracle_actor
from ialp_jax.serving.sessions import Actor, PrivilegedActor
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.stages import stages_of
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.types import Observation, Situation

ITEMS, USERS = 14, 3
WORLD = random_world(users=6, items=ITEMS, history=4)
NETWORK = tiny_network(ITEMS)
PRIVILEGED = {"oracle"}
STAGES = {f"{name}: {stage.name}": (name, stage) for name in names()
          for stage in stages_of(get(name), StudyConfig(methods=(name,)))}  # fmt: skip


def begun(stage, data):
    """A run of a stage, started from runs of those before it that have learnt nothing."""
    learner = stage.learner(tiny_scene(NETWORK), stage.config)
    starts = tuple(
        tiny_params(NETWORK) if start is UNTRAINED
        else start.learner(tiny_scene(NETWORK), start.config).product(begun(start, data))
        for start in stage.after
    )  # fmt: skip
    return learner.init(jax.random.key(0), stage.hyper, data, starts)


@pytest.mark.parametrize("title", STAGES)
def test_an_actor_is_traced_from_situations_alone(title):
    """The shapes below are all it is given: what a recommender sees of three users."""
    name, stage = STAGES[title]
    learner = stage.learner(tiny_scene(NETWORK), stage.config)
    data = Data(world=WORLD, prior=jnp.ones((6, ITEMS)), fitted=jnp.ones((1, ITEMS)))
    run = jax.eval_shape(lambda: begun(stage, data))
    ints, floats = (
        lambda *shape, kind=kind: jax.ShapeDtypeStruct(shape, kind) for kind in (jnp.int32, jnp.float32)
    )
    seen = Observation(ints(USERS, 4), floats(USERS, 4))
    situation = Situation(ints(USERS), seen, ints(USERS, 7), ints(USERS, 0))

    def turn(key, run, situation):
        actor = learner.actor(run, stage.hyper, data.hidden())
        assert isinstance(actor, PrivilegedActor if name in PRIVILEGED else Actor)
        if name in PRIVILEGED:
            return situation.user
        recall = actor.begin(situation.observation)
        return actor.act(actor.keys(key, USERS), recall, situation)[0]

    items = jax.eval_shape(turn, jax.random.key(0), run, situation)
    assert items.shape == (USERS,) and items.dtype == jnp.int32


def test_data_without_a_world_has_none():
    data = in_world(WORLD)
    assert data.hidden().world is None and data.world is not None
    with pytest.raises(AssertionError, match="needs a world"):
        _ = data.hidden().users_world


def test_the_oracle_and_the_teacher_are_privileged_and_nobody_else():
    oracle = oracle_actor(OraclePolicy(Simulator(SimulatorConfig())))
    assert isinstance(oracle, PrivilegedActor)
    actor = policy_actor(NETWORK, tiny_params(NETWORK))
    assert isinstance(taught_actor(actor), PrivilegedActor) and isinstance(actor, Actor)
    assert tiny_learner(NETWORK).config.taught is False
