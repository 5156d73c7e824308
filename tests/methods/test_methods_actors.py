"""Who is shown the truth: the oracle and, in the table's world, the teacher. The kit traces all others without a world."""

import jax
import jax.numpy as jnp
import pytest
from random_worlds import random_world
from tiny_runs import in_world, tiny_learner, tiny_network, tiny_params, tiny_scene

from ialp_jax.methods import get, names
from ialp_jax.methods.base import UNTRAINED, Data
from ialp_jax.methods.learners.teaching import preferred_item, taught_actor
from ialp_jax.policies.actor import policy_actor
from ialp_jax.policies.fixed import OraclePolicy, oracle_actor
from ialp_jax.serving.sessions import Actor, PrivilegedActor
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.stages import stages_of
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

ITEMS, USERS = 14, 3
WORLD = random_world(users=6, items=ITEMS, history=4)
NETWORK = tiny_network(ITEMS)


def begun(stage, data):
    """A run of a stage, started from runs of those before it that have learnt nothing."""
    learner = stage.learner(tiny_scene(NETWORK), stage.config)
    starts = tuple(
        tiny_params(NETWORK) if start is UNTRAINED
        else start.learner(tiny_scene(NETWORK), start.config).product(begun(start, data))
        for start in stage.after
    )  # fmt: skip
    return learner.init(jax.random.key(0), stage.hyper, data, starts)


@pytest.mark.parametrize("name", names())
def test_the_oracle_alone_is_shown_the_truth(name):
    """The kit asks of all others that they act without it (`testing.methods`)."""
    for stage in stages_of(get(name), StudyConfig(methods=(name,))):
        learner = stage.learner(tiny_scene(NETWORK), stage.config)
        data = Data(world=WORLD, prior=jnp.ones((6, ITEMS)), fitted=jnp.ones((1, ITEMS)))
        privileged = []

        def kind(learner=learner, stage=stage, data=data, privileged=privileged):
            actor = learner.actor(begun(stage, data), stage.hyper, data.hidden())
            privileged.append(isinstance(actor, PrivilegedActor))

        jax.eval_shape(kind)
        assert privileged == [name == "oracle"], stage.name


def test_data_without_a_world_has_none():
    data = in_world(WORLD)
    assert data.hidden().world is None and data.world is not None
    with pytest.raises(AssertionError, match="needs a world"):
        _ = data.hidden().users_world


def test_the_oracle_and_the_teacher_are_privileged_and_nobody_else():
    oracle = oracle_actor(OraclePolicy(Simulator(SimulatorConfig())))
    assert isinstance(oracle, PrivilegedActor)
    actor = policy_actor(NETWORK, tiny_params(NETWORK))
    assert isinstance(taught_actor(actor, preferred_item), PrivilegedActor) and isinstance(actor, Actor)
    assert tiny_learner(NETWORK).config.taught is False
