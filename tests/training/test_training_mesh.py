"""Many devices: the same runs whatever the mesh, no word among runs, and what little users have to say to each other."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shared_runs import (
    CHUNK,
    USERS,
    assert_same_numbers,
    learner,
    mesh_of,
    numbers,
    shared_world,
    starts,
    trained,
)

from ialp_jax.artifacts import InputError
from ialp_jax.learning.hyper import ActorCriticHyper
from ialp_jax.methods.base import Data
from ialp_jax.methods.learners.actor_critic import ActorCriticConfig, ActorCriticLearner
from ialp_jax.methods.learners.teaching import TaughtHyper
from ialp_jax.methods.named.a_ialp_ap_mixture import MixtureConfig, MixtureHyper, MixtureLearner
from ialp_jax.methods.named.a_ialp_ap_value import ValueHyper, ValueLearner
from ialp_jax.methods.named.random import RandomServer
from ialp_jax.training.guard import guarded
from ialp_jax.training.loop import compile_chunk
from ialp_jax.training.mesh import Layout, MeshConfig, make_mesh

pytestmark = pytest.mark.usefixtures("batched_keys")
WORLD = shared_world()
COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter)(?:-start)?\("
)


@pytest.fixture(scope="module")
def on_one(tmp_path_factory):
    """100 updates of three seeds on one device."""
    with jax.debug_key_reuse(False):
        return numbers(trained(tmp_path_factory.mktemp("one"), None, 3))


@pytest.mark.parametrize(
    "grid", [(1, 2), (1, 8), (2, 4), (8, 1)], ids=lambda grid: "run {}, user {}".format(*grid)
)
def test_a_hundred_updates_are_the_same_on_any_mesh(grid, on_one, tmp_path):
    """Three runs do not divide among 2 or 8 devices: the idle copies leave no trace."""
    found = trained(tmp_path, mesh_of(*grid, seeds=3), 3)
    assert_same_numbers(numbers(found), on_one)
    start = starts(learner(), 3, ActorCriticHyper())()
    moved = jax.tree.map(
        lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), found.run.params, start.params
    )
    assert all(distance > 0.01 for distance in jax.tree.leaves(moved["items"]))
    assert np.asarray(found.run.serving.ledger.sessions).sum() > 3 * USERS


def test_devices_that_share_users_keep_equal_parameters(tmp_path):
    """Every device takes the step itself: nothing but equal gradients keeps them together."""
    found = trained(tmp_path, mesh_of(1, 8), 1, until=CHUNK)
    for leaf in jax.tree.leaves((found.run.params, found.run.optimiser, found.run.serving.ledger)):
        copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(copies) == 8
        for copy in copies[1:]:
            np.testing.assert_array_equal(copy, copies[0])


def other_learners():
    """(learner, hyper, start) of the learners that say more to each other than A2C, and of one that learns nothing."""
    scene = learner().scene
    cases = {
        "mixture": (
            MixtureLearner(scene, MixtureConfig("learnt", feedback_steps=0)),
            MixtureHyper(learning_rate=2e-3, entropy=0.01),
            2,
        ),
        "value": (ValueLearner(scene), ValueHyper(), 2),
        "taught": (ActorCriticLearner(scene, ActorCriticConfig(taught=True)), TaughtHyper(supervised=0.5), 1),
        "random": (RandomServer(scene), (), 0),
    }
    return {
        name: (other, hyper, starts(other, 1, hyper, policies))
        for name, (other, hyper, policies) in cases.items()
    }


@pytest.mark.parametrize("name", ["mixture", "value", "taught", "random"])
def test_every_learner_shares_its_users(name, tmp_path):
    algorithm, hyper, start = other_learners()[name]
    alone, shared = (
        trained(tmp_path / str(mesh is None), mesh, 1, algorithm, hyper, start, until=CHUNK)
        for mesh in (None, mesh_of(1, 4))
    )
    own = {"random": (), "mixture": ("params", "weight_logit"), "value": ("params", "return_spread")}.get(
        name, ("params",)
    )
    numbers = lambda run: (run.serving.ledger, *(getattr(run, field) for field in own))  # noqa: E731
    for a, b in zip(*(jax.tree.leaves(numbers(one.run)) for one in (alone, shared)), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-4)
    if name == "mixture":
        assert abs(float(alone.run.weight_logit[0])) > 1e-3


def program(mesh, seeds, **shape):
    """Two updates, compiled."""
    algorithm, hyper = learner(**shape), ActorCriticHyper()
    layout = Layout(seeds, mesh)
    hyper = jax.tree.map(jnp.asarray, hyper)
    run = jax.eval_shape(lambda: layout.place_runs(guarded(starts(algorithm, seeds, hyper)())))
    return compile_chunk(algorithm, 2, None, run, hyper, Data(world=WORLD), mesh)


def collectives(compiled):
    """(kind, elements of every operand) of each collective in a compiled program."""
    found = []
    for shapes, kind in COLLECTIVE.findall(compiled.as_text()):
        sizes = [
            np.prod([int(n) for n in dims.split(",") if n], dtype=int)
            for dims in re.findall(r"\[([\d,]*)\]", shapes)
        ]
        found.append((kind, sizes))
    return found


@pytest.mark.parametrize("devices", [2, 8])
def test_runs_have_nothing_to_say_to_each_other(devices):
    """Read off the program; that the pattern finds collectives, the next test shows."""
    compiled = program(mesh_of(devices, 1, seeds=3), 3)
    assert "num_partitions=" + str(devices) in compiled.as_text()
    assert collectives(compiled) == []


def test_what_crosses_devices_is_gradients_and_the_pool():
    """Nothing the size of users x turns, features or logits; and nothing inside the turns' loop."""
    found = collectives(program(mesh_of(1, 8), 1))
    params = sum(leaf.size for leaf in jax.tree.leaves(starts(learner(), 1, ActorCriticHyper())().params))
    reduced = [size for kind, sizes in found if kind == "all-reduce" for size in sizes]
    assert params <= sum(reduced) <= params + 50  # the ledger, metrics, spreads
    width = (
        max(
            leaf.size
            for leaf in jax.tree.leaves(starts(learner(), 1, ActorCriticHyper())().serving.sessions.recall)
        )
        // USERS
    )
    for kind, sizes in found:
        assert kind in ("all-reduce", "all-gather", "reduce-scatter")
        if kind != "all-reduce":
            assert max(sizes) <= USERS * width  # the pool's histories as the encoder read them
    assert len(found) < 25


def test_devices_divide_the_work():
    """By the compiler's own count; what each device does alone is Adam, and random numbers for all."""
    flops = [program(mesh_of(1, user), 1, users=64, pool=64).cost_analysis()["flops"] for user in (1, 2, 8)]
    assert flops[1] < 0.6 * flops[0] and flops[2] < 0.22 * flops[0]


@pytest.mark.parametrize("after", [(1, 1), (1, 2), (2, 1)], ids=str)
@pytest.mark.parametrize("before", [(1, 8), (8, 1)], ids=str)
def test_a_run_goes_on_on_another_number_of_devices(before, after, on_one, tmp_path):
    trained(tmp_path, mesh_of(*before, seeds=3), 3, until=CHUNK)
    assert_same_numbers(numbers(trained(tmp_path, mesh_of(*after, seeds=3), 3)), on_one)


def test_the_grid_is_chosen():
    shape = lambda *arguments: dict(make_mesh(*arguments).shape)  # noqa: E731
    assert shape(MeshConfig(), 3, 16, 16) == {"run": 8, "user": 1}
    assert shape(MeshConfig(), 1, 16, 16) == {"run": 1, "user": 8}
    assert shape(MeshConfig(user=4), 3, 16, 16) == {"run": 2, "user": 4}
    assert shape(MeshConfig(run=2), 3, 16, 16) == {"run": 2, "user": 4}
    assert shape(MeshConfig(1, 2), 1, 16, 16) == {"run": 1, "user": 2}
    assert make_mesh(MeshConfig(1, 1), 3, 16, 16) is None
    assert make_mesh(MeshConfig(), 3, 16, 16, jax.devices()[:1]) is None


@pytest.mark.parametrize(
    ("config", "users", "pool", "message"),
    [
        (MeshConfig(user=8), 12, 16, "12 users cannot be divided among 8 devices. Fix: use 16 users, or a mesh.user of 1, 2, 3, 4, 6"),
        (MeshConfig(user=8), 16, 6, "6 pool cannot be divided"),
        (MeshConfig(run=9), 16, 16, "mesh.run: 9 devices are asked for, and there are 8"),
        (MeshConfig(4, 4), 16, 16, "4 x 4 devices are asked for, and there are 8"),
    ],
)  # fmt: skip
def test_a_grid_that_does_not_fit_is_refused(config, users, pool, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make_mesh(config, 1, users, pool)


def test_idle_copies_are_announced():
    assert str(Layout(5, mesh_of(8, 1, seeds=5))) == (
        "5 runs on 8 x 1 devices (run x user); 5 does not divide, so 3 idle copies of the last run fill the places left"
    )
    assert str(Layout(8, mesh_of(8, 1, seeds=8))) == "8 runs on 8 x 1 devices (run x user)"
