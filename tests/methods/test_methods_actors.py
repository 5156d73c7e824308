"""Who is shown the truth: the oracle and, in the table's world, the teacher. The kit traces all others without a world."""

import jax
import numpy as np
import pytest
from random_worlds import random_world
from tiny_runs import in_world, tiny_learner, tiny_network, tiny_params

from ialp_jax.methods import names
from ialp_jax.methods.learners.teaching import preferred_item, taught_actor
from ialp_jax.policies.actor import policy_actor
from ialp_jax.policies.fixed import OraclePolicy, oracle_actor
from ialp_jax.serving.sessions import Actor, PrivilegedActor
from ialp_jax.study.stages import Runs, product_shapes, program_of
from ialp_jax.testing.trial import Trial, row
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

pytestmark = pytest.mark.usefixtures("batched_keys")
ITEMS = 14
WORLD = random_world(users=6, items=ITEMS, history=4)
NETWORK = tiny_network(ITEMS)


def program(trial, stage):
    """A stage that starts from products of the right shapes: nothing is trained."""
    inputs, config, runs = trial.inputs, trial.config, Runs(np.zeros(1, np.int32))
    return program_of(
        stage, inputs, config, runs, lambda before: product_shapes(before, inputs, config, runs)
    )


@pytest.mark.parametrize("name", names())
def test_the_oracle_alone_is_shown_the_truth(name):
    """The kit asks of all others that they act without it (`testing.methods`)."""
    trial = Trial.small(name)
    for stage in trial.stages:
        made, privileged = program(trial, stage), []

        def kind(runs, made=made, privileged=privileged):
            actor = made.learner.actor(row(runs, 0), made.hyper, made.data.hidden())
            privileged.append(isinstance(actor, PrivilegedActor))

        jax.eval_shape(kind, made.start.shapes())
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
