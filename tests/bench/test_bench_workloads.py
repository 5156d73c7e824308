"""Every workload at tiny shapes: it runs, its outputs are real, its calls are not the same call again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.bench.measuring import interleave
from ialp_jax.bench.measuring.compiled import compile_program
from ialp_jax.bench.measuring.floors import Counts, Rates
from ialp_jax.bench.measuring.interleave import Group, Running, measure, repeats_of
from ialp_jax.bench.run import with_short_chunks
from ialp_jax.bench.settings import Effort, Point, Shape
from ialp_jax.bench.subjects.workloads import WORKLOADS, updates_per_call
from ialp_jax.bench.subjects.worlds import RandomWorld
from ialp_jax.methods import get, names
from ialp_jax.training.loop import LoopConfig
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig
from ialp_jax.worlds.world import DenseRatings, FactorRatings

TINY = Shape(rollout=3, embedding=4, hidden=6, history=2, turn_cap=3, population=8)
ONE_UPDATE = Effort(repeats=2, repeat_seconds=0.0, steps_per_call=1.0, flops_per_chunk=0.0)


OTHERS = [name for name in WORKLOADS if name in names() and not get(name).card.reference]
"""Learners built and measured like the reference methods, which are compiled and run for all."""


def embeddings(state):
    """A copy of the learning (or serving) policy's item embeddings in a program's state."""
    params = getattr(state, "params", ())
    networks = [one for one in (params if isinstance(params, tuple) else (params,)) if "items" in one]
    return np.array(networks[0]["items"]) if networks else None


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in OTHERS])
def test_outputs_are_finite_and_move(name, batched_keys):
    ready = compile_program(WORKLOADS[name].build(Point(name, 5, 30), TINY, ONE_UPDATE))
    program = ready.program
    timed = measure({name: ready}, 2, lambda name: 0.0)[name]
    assert timed.problem() is None
    assert len(timed.seconds) == 2 and min(timed.seconds) > 0.0
    assert program.steps == (5 if name.startswith("head") else 15)
    before, items = jax.tree.map(np.array, timed.outputs), embeddings(timed.state)
    timed.timed(1)
    after = jax.tree.map(np.array, timed.outputs)
    if items is not None:
        assert (embeddings(timed.state) != items).any() == (name != "serving"), (
            "learners learn, a server does not"
        )
    # What is not random and learns nothing gives the same answer to the same question.
    still = name in ("head_gradient", "head_logsumexp")
    assert still == all(
        np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    )
    assert ready.memory.arguments > 0 and ready.compile_seconds > 0.0


@pytest.mark.parametrize("name", OTHERS)
def test_a_random_world_has_all_that_the_other_learners_read(name, batched_keys):
    """By shapes: that their updates are right is what their kit asks."""
    program = WORKLOADS[name].build(Point(name, 5, 30), TINY, ONE_UPDATE)
    key = jax.eval_shape(lambda: jax.random.key(0))
    data = jax.eval_shape(program.make_data, key)
    state = jax.eval_shape(program.start, key, data)
    following, outputs = jax.eval_shape(program.step, state, data)
    assert following == state and program.steps == 15 and jax.tree.leaves(outputs)
    assert all(jnp.issubdtype(output.dtype, jnp.floating) for output in jax.tree.leaves(outputs))


def test_problems_are_named():
    ready = compile_program(
        WORKLOADS["head_logsumexp"].build(Point("head_logsumexp", 2, 40), TINY, ONE_UPDATE)
    )
    for outputs, problem in (
        ({"a": jnp.array([1.0, jnp.nan])}, "finite"),
        (jnp.zeros(3), "zero"),
        (jnp.ones(2), None),
    ):
        found = Running(ready, None, None, outputs).problem()
        assert found is None if problem is None else problem in found


@pytest.mark.parametrize("kind", ["users", "imagined"])
def test_worlds_hold_both_ways_a_session_ends(kind):
    """Random play is neither cut at once nor never: otherwise resets would be measured wrongly."""
    world = RandomWorld(50, 200, 4, kind)(jax.random.key(1))
    assert isinstance(world.ratings, DenseRatings)
    simulator = Simulator(SimulatorConfig(turn_cap=20))
    items = jax.random.permutation(jax.random.key(2), 200)[:20].astype(jnp.int32)

    def session(user):
        state, _ = simulator.start(user, world)

        def turn(carry, inputs):
            state, over = carry
            state, timestep = simulator.step(inputs[0], state, inputs[1], world)
            return (state, over | timestep.terminated), over

        inputs = (jax.random.split(jax.random.key(3), 20), jnp.roll(items, user))
        return jax.lax.scan(turn, (state, jnp.bool_(False)), inputs)[0][1]

    left = np.asarray(jax.vmap(session)(jnp.arange(50, dtype=jnp.int32)))
    assert 0.1 < left.mean() < 0.99
    ratings = np.asarray(world.ratings.table)
    assert set(np.unique(ratings)) == {0.0, 1.0} if kind == "imagined" else ratings.min() >= 1.0
    known = np.asarray(world.initial_items)
    assert (known == 200).any() and (known < 200).any()


def test_large_worlds_have_factors():
    world = jax.eval_shape(RandomWorld(1024, 300_000, 10), jax.eval_shape(lambda: jax.random.key(0)))
    assert isinstance(world.ratings, FactorRatings)
    assert max(leaf.size for leaf in jax.tree.leaves(world)) <= 300_000 * 16


def test_short_programs_are_repeated_inside_a_call():
    shape, effort = Shape(rollout=10), Effort(flops_per_call=1e7, steps_per_call=1e4, flops_per_chunk=0.0)
    program = WORKLOADS["serving"].build(Point("serving", 1, 300), shape, effort)
    counts = program.counts
    updates = program.steps // 10
    assert updates > 1 and counts.total_flops <= 1e7 < counts.total_flops * (updates + 1) / updates
    assert updates_per_call(counts, Point("serving", 10**6, 300), shape, effort) == 1


def test_a_call_is_a_chunk_of_the_training_loop_while_that_is_short():
    counts, point = Counts({1: 1e9}), Point("a2c", 1024, 3000)
    updates = lambda **effort: updates_per_call(counts, point, Shape(), Effort(**effort))  # noqa: E731
    assert updates() == LoopConfig().chunk
    assert updates(flops_per_chunk=4.5e9) == 4 and updates(flops_per_chunk=1e8) == 2  # two by flops_per_call


def test_long_calls_are_timed_fewer_times():
    assert [repeats_of(seconds, 7) for seconds in (0.1, 60.0)] == [7, 3] and repeats_of(60.0, 2) == 2


def test_chunks_are_cut_where_the_machine_is_slow():
    effort, fast = Effort(longest_call=4.0, flops_per_chunk=1e12), Rates({1: 1e9, 64: 1e12}, 1.0, {1: 1.0})
    assert with_short_chunks(effort, fast) == effort
    slow = Rates({1: 1e9, 64: 2e9}, 1.0, {1: 1.0})
    assert with_short_chunks(effort, slow).flops_per_chunk == 4e9


def many(memory):
    """How many times the same program, at most nine, fits into a group of this memory."""
    ready = compile_program(
        WORKLOADS["head_logsumexp"].build(Point("head_logsumexp", 2, 40), TINY, ONE_UPDATE)
    )
    group = Group(memory(ready.resident, ready.working))
    while group.fits(ready) and len(group.programs) < 9:
        group.add(len(group.programs), ready)
    return len(group.programs)


def test_groups_keep_within_memory_and_hold_at_least_one():
    assert many(lambda one, working: 2 * one + working) == 2
    assert many(lambda one, working: 100 * one + working) == 9
    assert many(lambda one, working: 0.0) == 1


def test_groups_end_where_the_process_has_too_many_mappings(monkeypatch):
    monkeypatch.setattr(interleave, "crowded", lambda: True)
    assert many(lambda one, working: 100 * one + working) == 1


def test_programs_are_timed_in_turn(monkeypatch):
    ready = compile_program(
        WORKLOADS["head_logsumexp"].build(Point("head_logsumexp", 2, 40), TINY, ONE_UPDATE)
    )
    order = []
    timed = Running.timed
    monkeypatch.setattr(Running, "timed", lambda self, calls: order.append(id(self)) or timed(self, calls))
    running = measure({"a": ready, "b": ready}, 3, lambda name: 0.0, halfway=lambda: order.append("halfway"))
    a, b = (id(running[name]) for name in "ab")
    assert order == [a, a, b, b, a, b, "halfway", a, b, a, b]


def test_a_budget_costs_repeats_but_leaves_a_median():
    ready = compile_program(
        WORKLOADS["head_logsumexp"].build(Point("head_logsumexp", 2, 40), TINY, ONE_UPDATE)
    )
    assert len(measure({"a": ready}, 5, lambda name: 0.0)["a"].seconds) == 5
    assert len(measure({"a": ready}, 5, lambda name: 0.0, deadline=0.0)["a"].seconds) == 3


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_what_belongs_halfway_is_done_once_however_late_it_is(repeats):
    point = Point("head_logsumexp", 2, 40)
    ready, done = compile_program(WORKLOADS["head_logsumexp"].build(point, TINY, ONE_UPDATE)), []
    measure({"a": ready}, repeats, lambda name: 0.0, halfway=lambda: done.append(1), deadline=0.0)
    assert done == [1]


def test_devices_of_a_cpu_share_its_memory():
    point = Point("environment_devices", 64, 40)
    ready = compile_program(WORKLOADS["environment_devices"].build(point, TINY, ONE_UPDATE))
    alone = compile_program(WORKLOADS["environment"].build(Point("environment", 8, 40), TINY, ONE_UPDATE))
    assert (ready.sharing, alone.sharing) == (8, 1)
    assert ready.total == 8 * ready.memory.total and alone.total == alone.memory.total
    assert ready.resident + ready.working - 8 * ready.memory.outputs == ready.total
