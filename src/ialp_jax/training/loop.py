"""The host loop: compiled chunks of updates for many runs at once; progress, checkpoints and resume between them."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.stages import Compiled
from jaxtyping import Array, Int, PRNGKeyArray

from ialp_jax.artifacts import InputError
from ialp_jax.divergence import Divergence
from ialp_jax.health import is_watched
from ialp_jax.marks import Yardstick
from ialp_jax.ranges import Count, Weight
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.device import compiler_options, crowded
from ialp_jax.training.distributed import agreed, gathered
from ialp_jax.training.guard import Guard, Guarded, divergences, guard_of, guarded, guarded_update
from ialp_jax.training.mesh import Layout, on_mesh
from ialp_jax.training.progress import Watch
from ialp_jax.values import checked

_MADE = [0]  # programs


class Program(Hashable, Protocol):
    """What the loop needs of a learner: a pure update of one run; equal ones share a compiled program."""

    @property
    def updates(self) -> int:
        """Updates of a whole run."""

    @property
    def steps(self) -> int:
        """Simulator steps of one update; 0 for a learner that serves nobody, whose updates are counted then."""

    def update(self, run: Any, hyper: Any, data: Any, /) -> tuple[Any, dict[str, Array]]:
        """One update of one run; a metric that is not finite says that the run diverged."""


@dataclass(frozen=True)
@checked
class LoopConfig:
    """How a run is cut into compiled chunks."""

    chunk: Annotated[Count, Yardstick("it only cuts a run into pieces")] = 10
    """Updates per compiled chunk: the grain of progress, metrics and interruption."""
    checkpoint_seconds: Weight = 20.0
    """At least this long between two checkpoints of the whole run state."""


@dataclass(frozen=True)
class Trained:
    """Final run states and metrics of R runs.

    Attributes:
        run: final run states, every leaf with leading axis R.
        metrics: mean of each metric per chunk, [R, chunks]; NaN from the chunk on in which a run diverged.
        guard: of the runs; a diverged one's state is that before the update at which it diverged.
        diverged: what is said of each diverged run, None for the others.
    """

    run: Any
    metrics: dict[str, np.ndarray]
    guard: Guard
    diverged: tuple[Divergence | None, ...]

    @property
    def checkpoint(self) -> tuple[Any, ...]:
        """What a checkpoint of it holds."""
        return _stored(self.run, self.metrics, self.guard)


def seed_keys(seeds: Int[np.ndarray, "R"], purpose: int) -> PRNGKeyArray:
    """One key per seed; equal purposes give equal keys, so that methods are compared on paired randomness."""
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), purpose))(jnp.asarray(seeds))


def train(
    learner: Program,
    start: Callable[[], Any],
    hyper: Any,
    data: Any,
    loop: LoopConfig,
    store: CheckpointStore | None,
    watch: Watch,
    hyper_axis: int | None = None,
    until: int | None = None,
    mesh: Mesh | None = None,
) -> Trained:
    """Trains R runs in one program (vmap over runs), resuming from `store` if it holds a checkpoint.

    Args:
        learner: what to run.
        start: makes the initial run states, every leaf with leading axis R.
        hyper: numbers of the runs.
        data: what all runs read.
        loop: chunking.
        store: where checkpoints are kept; what was reached stays there. None keeps none.
        watch: told of the progress, and of checkpoints that are passed over.
        hyper_axis: 0 if every leaf of `hyper` has a leading axis R, None if the runs share it.
        until: stop after this many updates; all the learner has if None.
        mesh: devices of all processes, from `make_mesh`; None is one device.

    Returns:
        Run states and metrics (0 for chunks not reached); bitwise the same whether or not it was interrupted. Where
        there are several processes, each gets all of them.

    Raises:
        ValueError: if the updates are not a whole number of chunks.
        InputError: if there are checkpoints, but none that can be trusted.
    """
    updates, chunk = learner.updates, loop.chunk
    until = updates if until is None else until
    if updates % chunk or until % chunk:
        raise ValueError(f"{updates} or {until} updates are not a multiple of the chunk of {chunk}")
    now, hyper = guarded(start()), jax.tree.map(jnp.asarray, hyper)
    layout = Layout(jax.tree.leaves(now)[0].shape[0], mesh)
    now, data = layout.place_runs(now), layout.place(data)
    hyper = layout.place(hyper) if hyper_axis is None else layout.place_runs(hyper)
    advance = compile_chunk(learner, chunk, hyper_axis, now, hyper, data, mesh)
    metrics = layout.place_runs(_empty_metrics(advance, updates // chunk))
    finished = 0 if store is None else store.latest(watch.warn) or 0
    if store is not None and finished:
        now, metrics = map(
            layout.place_runs, _restored(store, finished, chunk, *layout.real_runs((now, metrics)))
        )
    steps = layout.runs * max(learner.steps, 1)
    saved, last_save = finished, time.monotonic()
    watch.begin(steps * until, steps * finished)
    while finished < until:
        now, latest = advance(now, hyper, data)
        metrics = _write_column(metrics, latest, finished // chunk)
        finished += chunk
        jax.block_until_ready((now, metrics))
        watch.advance(steps * chunk, _on_host(layout, latest))
        if store is not None and agreed(time.monotonic() - last_save > loop.checkpoint_seconds):
            store.save(finished, layout.real_runs(_stored(now.run, metrics, now.guard)))
            saved, last_save = finished, time.monotonic()
    if store is not None and saved < finished:
        store.save(finished, layout.real_runs(_stored(now.run, metrics, now.guard)))
    now, metrics = gathered(layout.real_runs(now)), _on_host(layout, metrics)
    guard = jax.tree.map(np.asarray, now.guard)
    return Trained(now.run, metrics, guard, divergences(guard, now.run, metrics, updates))


def _restored(
    store: CheckpointStore, finished: int, chunk: int, now: Guarded, metrics: Any
) -> tuple[Guarded, Any]:
    """A run state. What was written before there were guards is told by its metrics whether it diverged; where other metrics
    were watched than now, or none, those of the past are NaN."""
    whole = _stored(now.run, metrics, now.guard)
    told = {name: jnp.full_like(values, jnp.nan) for name, values in whole[3].items()}
    try:
        run, plain, guard, told = store.restore(finished, whole)
    except InputError:
        try:
            run, plain, guard = store.restore(finished, whole[:3])
        except InputError:
            run, plain = store.restore(finished, whole[:2])
            guard = guard_of(gathered(plain), finished, chunk)
    return Guarded(run, guard), plain | told


def _stored(run: Any, metrics: dict[str, Any], guard: Guard) -> tuple[Any, ...]:
    """What a checkpoint holds, in its order: what is watched comes last, so that the places of all else do not depend on it."""
    told = {name: values for name, values in metrics.items() if is_watched(name)}
    return run, {name: values for name, values in metrics.items() if name not in told}, guard, told


def compile_chunk(
    learner: Program,
    chunk: int,
    hyper_axis: int | None,
    now: Guarded,
    hyper: Any,
    data: Any,
    mesh: Mesh | None = None,
) -> Compiled:
    """The program that advances `guarded` runs of these shapes by `chunk` updates; metrics are averaged on the device.

    Arrays or their shapes may be given. Equal learners and shapes share one program, which is compiled once
    while there is room: where a process has had to compile very many, it lets go of them and starts anew.
    """
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda *arrays: arrays, now, hyper, data))
    return _compiled(learner, chunk, hyper_axis, structure, tuple(leaves), mesh)


def programs_compiled() -> int:
    """How many programs `compile_chunk` has made in this process."""
    return _MADE[0]


@lru_cache(maxsize=128)
def _compiled(
    learner: Program,
    chunk: int,
    hyper_axis: int | None,
    structure: Any,
    leaves: tuple[Any, ...],
    mesh: Mesh | None,
) -> Compiled:
    if crowded():
        _compiled.cache_clear()
    _MADE[0] += 1
    shapes = jax.tree.unflatten(structure, leaves)
    program = _chunk_program(learner, chunk, hyper_axis)
    jitted = (
        jax.jit(program, donate_argnums=0) if mesh is None else on_mesh(program, mesh, shapes[0], hyper_axis)
    )
    return jitted.lower(*shapes).compile(compiler_options())


def _chunk_program(learner: Program, chunk: int, hyper_axis: int | None) -> Any:
    def train_chunk(now: Guarded, hyper: Any, data: Any) -> tuple[Guarded, dict[str, Array]]:
        step = lambda now, _: guarded_update(learner.update, now, hyper, data)  # noqa: E731
        now, metrics = jax.lax.scan(step, now, None, length=chunk)
        means = jax.tree.map(lambda values: jnp.mean(values, axis=0), metrics)
        return now, jax.tree.map(lambda mean: jnp.where(now.guard.sound, mean, jnp.nan), means)

    return jax.vmap(train_chunk, in_axes=(0, hyper_axis, None))


def _empty_metrics(advance: Compiled, chunks: int) -> dict[str, Array]:
    shapes = advance.out_info[1]
    return {name: jnp.zeros((*value.shape, chunks), value.dtype) for name, value in shapes.items()}


def _on_host(layout: Layout, metrics: dict[str, Array]) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in gathered(layout.real_runs(metrics)).items()}


@jax.jit
def _write_column(metrics: dict[str, Array], latest: dict[str, Array], column: int) -> dict[str, Array]:
    return {name: values.at[:, column].set(latest[name]) for name, values in metrics.items()}
