"""The floor's arithmetic: work over rates, with answers known by hand."""

import jax
import jax.numpy as jnp
import pytest

from ialp_jax.bench.measuring.floors import Counts, Rates, floor_of
from ialp_jax.bench.measuring.probes import Probe, copies, probes_of, rates_of
from ialp_jax.bench.measuring.tracing import traced_flops
from ialp_jax.bench.settings import Effort, Point, Shape
from ialp_jax.bench.subjects import work
from ialp_jax.bench.subjects.workloads import WORKLOADS

RATES = Rates(matmul={1: 10.0, 128: 100.0, 512: 50.0}, exponential=4.0, copy={100: 20.0, 1000: 5.0})


def test_floor_is_arithmetic_or_bytes_whichever_is_longer():
    floor = floor_of(Counts({128: 300.0}, 8.0, 60.0, 100.0), RATES)
    assert (floor.matmul, floor.exponential, floor.bytes) == (3.0, 2.0, 3.0)
    assert (floor.seconds, floor.bound) == (5.0, "arithmetic")
    floor = floor_of(Counts({128: 300.0}, 8.0, 60.0, 101.0), RATES)
    assert (floor.bytes, floor.seconds, floor.bound) == (12.0, 12.0, "bytes")


@pytest.mark.parametrize(("rows", "rate"), [(1, 10.0), (2, 100.0), (128, 100.0), (512, 100.0), (4096, 100.0)])
def test_products_of_many_rows_may_be_cut_into_fewer(rows, rate):
    assert RATES.matmul_at(rows) == rate
    assert floor_of(Counts({rows: 200.0}), RATES).seconds == 200.0 / rate


@pytest.mark.parametrize(("size", "rate"), [(1, 20.0), (100, 20.0), (101, 5.0), (10**9, 5.0)])
def test_bytes_move_at_the_rate_of_arrays_of_their_size(size, rate):
    assert RATES.copy_at(size) == rate


def test_head_work_by_hand():
    counts = work.head_work(Shape(embedding=4), users=8, items=10, passes=2, products=4)
    assert counts.flops == {8: 4 * 2 * 8 * 4 * 10}
    assert counts.exponentials == 2 * 8 * 10
    assert counts.bytes == 4 * 10 * (4 + 1) * 4


def test_known_floor_of_training():
    """The issue's: at 3,000 items and width 32 the head's four products alone are 768,000 FLOPs per step."""
    point, shape = Point("a2c", 1024, 3000), Shape()
    head = 4 * 2 * 32 * 3000
    update = WORKLOADS["a2c"].build(point, shape, Effort())
    per_step = update.counts.total_flops / update.steps
    assert head < per_step < 2 * head
    assert update.counts.exponentials / update.steps == 2 * 3000
    pair = WORKLOADS["a_ialp_ap_mixture"].build(point, shape, Effort())
    assert pair.counts.exponentials / pair.steps == 3 * 3000


def test_traced_flops_multiply_loops_and_nothing_else():
    left, right = jnp.ones((3, 4)), jnp.ones((4, 5))
    assert traced_flops(lambda a, b: a @ b, left, right) == 2 * 3 * 4 * 5

    def looped(a, b):
        return jax.lax.scan(
            lambda carry, _: (carry + jax.jit(jnp.matmul)(a, b), None), jnp.ones((3, 5)), None, 7
        )

    assert traced_flops(looped, left, right) == 7 * 2 * 3 * 4 * 5
    branches = lambda a, b: jax.lax.cond(a[0, 0] > 0, lambda: (a @ b).sum(), lambda: 0.0)  # noqa: E731
    assert traced_flops(branches, left, right) == 2 * 3 * 4 * 5
    batched = jax.vmap(jnp.matmul, (0, None))
    assert traced_flops(batched, jnp.ones((6, 3, 4)), right) == 6 * 2 * 3 * 4 * 5


@pytest.mark.parametrize(
    "name", ["serving", "a2c", "ialp", "ialp_taught", "a_ialp_ap_mixture", "head", "head_gradient"]
)
def test_programs_multiply_at_least_what_the_floor_counts(name):
    """The count by hand against the program as written: nothing is counted that a program does not do, and no
    program does far more than is counted (what it does more is reading the pool's histories)."""
    point, shape = Point(name, 256, 2000), Shape(rollout=4)
    program = WORKLOADS[name].build(point, shape, Effort(steps_per_call=1.0))
    key = jax.eval_shape(lambda: jax.random.key(0))
    data = jax.eval_shape(program.make_data, key)
    with jax.debug_key_reuse(False):
        traced = traced_flops(program.step, jax.eval_shape(program.start, key, data), data)
    assert 0.97 < traced / program.counts.total_flops < 1.25


def test_rates_come_from_the_probes_of_the_catalogue():
    probes = probes_of(items=50, width=4, most_rows=16, flops_per_call=1e4) + copies(1e4)
    matmul = next(probe for probe in probes if probe.kind == "matmul" and probe.rows == 16)
    assert matmul.unit == 2 * 16 * 50 * 4 and matmul.passes == 2
    other = Probe("matmul", 16, 51, 4, 1e4)
    seconds = {probe: 2.0 for probe in [*probes, other]} | {matmul: 0.5}
    rates = rates_of(seconds, 50)
    assert rates.matmul == {1: 2 * 50 * 4 * 25 / 2.0, 16: 2 * 16 * 50 * 4 * 2 / 0.5}
    slow = max(probe.rows * 50 * probe.passes / 2.0 for probe in probes if probe.kind in ("exp", "exp_sum"))
    assert rates.exponential == slow
    assert rates.copy[2**16] == 2 * 2**16 * next(p for p in probes if p.size == 2**16).passes / 2.0


@pytest.mark.parametrize("kind", ["matmul", "exp", "exp_sum", "copy"])
def test_probes_compute_what_they_say(kind):
    probe = Probe(kind, 3, 8, 4, 50_000.0)
    program = probe.program()
    data = program.make_data(jax.random.key(0))
    state = program.start(jax.random.key(1), data)
    after, outputs = program.step(state, data)
    assert probe.passes > 1
    if kind == "matmul":
        assert jnp.allclose(after, data[0][-1] @ data[1].T, rtol=1e-5)
    elif kind == "exp_sum":
        shift = jnp.full(3, 0.5)
        for _ in range(probe.passes):
            shift = jnp.mean(jnp.exp(state * shift[:, None]), axis=1)
        assert jnp.allclose(outputs, shift, rtol=1e-5)
    else:
        for _ in range(probe.passes):
            state = jnp.exp(-state) if kind == "exp" else 0.5 * state + 0.25
        assert jnp.allclose(after, state, rtol=1e-5)
