"""The host loop: compiled chunks of updates for all seeds at once; progress, checkpoints and resume between them."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from rich.console import Console

from ialp_jax.envs.world import World
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.progress import step_progress


class Algorithm(Hashable, Protocol):
    """What the loop needs of an algorithm: a static shape and a pure update of one run; equal ones share a program."""

    config: Any

    def update(self, run: Any, hyper: Any, world: World, /) -> tuple[Any, dict[str, Array]]:
        """One update of one run."""
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How a run is cut into compiled chunks."""

    chunk: int = 10
    """Updates per compiled chunk: the grain of progress, metrics and interruption."""
    checkpoint_seconds: float = 20.0
    """At least this long between two checkpoints of the whole run state."""


@dataclass(frozen=True)
class Trained:
    """Final run states and metrics of R paired seeds.

    Attributes:
        run: final run states, every leaf with leading axis R.
        metrics: mean of each metric per chunk, [R, chunks].
    """

    run: Any
    metrics: dict[str, np.ndarray]


def seed_keys(seeds: int, purpose: int) -> PRNGKeyArray:
    """One key per seed; equal purposes give equal keys, so that methods are compared on paired randomness."""
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), purpose))(jnp.arange(seeds))


def train(
    name: str,
    algorithm: Algorithm,
    start: Callable[[], Any],
    hyper: Any,
    world: World,
    loop: LoopConfig,
    directory: Path,
    console: Console,
    hyper_axis: int | None = None,
) -> Trained:
    """Trains R runs in one program (vmap over seeds), resuming from `directory` if it holds a checkpoint.

    Args:
        name: shown beside the progress bar.
        algorithm: what to run.
        start: makes the initial run states, every leaf with leading axis R.
        hyper: numbers of the runs.
        world: where they run.
        loop: chunking.
        directory: where checkpoints are kept; a finished run stays there.
        console: where progress is drawn.
        hyper_axis: 0 if every leaf of `hyper` has a leading axis R, None if the runs share it.

    Returns:
        Final run states and metrics; bitwise the same whether or not the run was interrupted.

    Raises:
        ValueError: if the updates are not a whole number of chunks.
    """
    updates, chunk = algorithm.config.updates, loop.chunk
    if updates % chunk:
        raise ValueError(f"{updates} updates are not a multiple of the chunk of {chunk}")
    advance = _compile_chunk(algorithm, chunk, hyper_axis)
    run = start()
    metrics = _empty_metrics(advance, run, hyper, world, updates // chunk)
    store = CheckpointStore(directory)
    finished = store.latest() or 0
    if finished:
        run, metrics = store.restore(finished, (run, metrics))
    seeds = jax.tree.leaves(run)[0].shape[0]
    steps = seeds * chunk * algorithm.config.users * algorithm.config.rollout
    saved, last_save = finished, time.monotonic()
    with step_progress(console) as progress:
        bar = progress.add_task(
            name, total=steps * updates // chunk, note="", completed=steps * finished // chunk
        )
        while finished < updates:
            run, latest = advance(run, hyper, world)
            metrics = _write_column(metrics, latest, finished // chunk)
            finished += chunk
            jax.block_until_ready((run, metrics))
            progress.update(bar, advance=steps, note=_note(latest))
            if time.monotonic() - last_save > loop.checkpoint_seconds:
                store.save(finished, (run, metrics))
                saved, last_save = finished, time.monotonic()
    if saved < updates:
        store.save(updates, (run, metrics))
    return Trained(run, {key: np.asarray(value) for key, value in metrics.items()})


@lru_cache(maxsize=16)
def _compile_chunk(
    algorithm: Algorithm, chunk: int, hyper_axis: int | None
) -> Callable[[Any, Any, World], tuple[Any, dict[str, Array]]]:
    """`chunk` updates of R runs as one compiled program; metrics are averaged over the chunk on the device.

    Equal algorithms share the program.
    """

    def one_run(run: Any, hyper: Any, world: World) -> tuple[Any, dict[str, Array]]:
        run, metrics = jax.lax.scan(
            lambda now, _: algorithm.update(now, hyper, world), run, None, length=chunk
        )
        return run, jax.tree.map(lambda values: jnp.mean(values, axis=0), metrics)

    return jax.jit(jax.vmap(one_run, in_axes=(0, hyper_axis, None)), donate_argnums=0)


def _empty_metrics(advance, run, hyper, world, chunks: int) -> dict[str, Array]:  # type: ignore[no-untyped-def]
    shapes = jax.eval_shape(advance, run, hyper, world)[1]
    return {name: jnp.zeros((*value.shape, chunks), value.dtype) for name, value in shapes.items()}


@jax.jit
def _write_column(metrics: dict[str, Array], latest: dict[str, Array], column: int) -> dict[str, Array]:
    return {name: values.at[:, column].set(latest[name]) for name, values in metrics.items()}


def _note(latest: dict[str, Array]) -> str:
    """What is worth watching while it runs: mean reward per turn over seeds."""
    return f"reward/turn {float(jnp.mean(latest['reward'])):.3f}" if "reward" in latest else ""
