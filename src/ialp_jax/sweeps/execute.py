"""Executes one unit of a sweep and leaves its files; a unit that has them is not executed again.

units/NAME/checkpoints    while it runs; kept where a later rung goes on from there
units/NAME/params.npz     pre-training: the parameters of every run
units/NAME/result.json    metrics and costs of every run; written last
units/NAME/timings.json   how long it took
"""

import shutil
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh
from rich.console import Console

from ialp_jax.artifacts import read_arrays, write_arrays, write_json
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.methods import Method, Runs, hyper_of, online_method, pretraining
from ialp_jax.study.prepare import Prepared
from ialp_jax.study.results import measure, stream_metrics
from ialp_jax.sweeps.definition import Sweep, load_sweep
from ialp_jax.sweeps.units import UNITS, Round, Unit, load_unit
from ialp_jax.sweeps.worlds import Worlds
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.device import compile_seconds, prepare_device
from ialp_jax.training.loop import Trained, train
from ialp_jax.training.mesh import MeshConfig, make_mesh
from ialp_jax.training.progress import Watch

RESULT, TIMINGS, PARAMS, CHECKPOINTS = "result.json", "timings.json", "params.npz", "checkpoints"


def unit_folder(out: Path, name: str) -> Path:
    """Where a unit's files are."""
    return out / UNITS / name


def is_done(out: Path, name: str) -> bool:
    """Whether a unit has been executed."""
    return (unit_folder(out, name) / RESULT).exists()


def execute_unit(
    sweep: Sweep, out: Path, name: str, worlds: Worlds, watch: Watch, devices: int | None = None
) -> None:
    """Trains and measures the runs of a unit, going on from its checkpoint if it has one.

    Args:
        sweep: what it is part of.
        out: folder of the sweep.
        name: of the unit.
        worlds: of this process.
        watch: told of the progress.
        devices: how many of this process's devices share the runs; None for all.
    """
    if is_done(out, name):
        return
    begun, compiled = time.monotonic(), compile_seconds()
    planned, unit = load_unit(out, name)
    config, prepared, method = _method(sweep, out, planned, unit, worlds)
    if unit.sources and load_unit(out, unit.sources[0][0])[1].stage == unit.stage:
        _take_over(sweep, out, unit, worlds, devices)
    trained = _train(out, unit, config, prepared, method, watch, devices)
    folder = unit_folder(out, name)
    if unit.stage == "pretraining":
        write_arrays(folder / PARAMS, flatten_dict(trained.run.params, sep="/"))
    result = _result(unit, config, prepared, method, trained)
    write_json(folder / TIMINGS, {
        "unit": name, "stage": unit.stage, "bucket": unit.bucket, "runs": len(unit.runs),
        "idle_copies": unit.width - len(unit.runs), "seconds": time.monotonic() - begun,
        "compile_seconds": compile_seconds() - compiled, "steps": result["steps"] * len(unit.runs),
    })  # fmt: skip
    write_json(folder / RESULT, result)
    if unit.complete:
        shutil.rmtree(folder / CHECKPOINTS)


def execute_stored(out: Path, name: str) -> None:
    """`execute_unit` for a process that knows nothing but the folder: a worker of a cluster."""
    sweep, worlds = _stored(out)
    execute_unit(sweep, out, name, worlds, _Unwatched())


@lru_cache(maxsize=1)
def _stored(out: Path) -> tuple[Sweep, Worlds]:
    prepare_device(a_device_per_core=True)
    sweep = load_sweep(out)
    return sweep, Worlds(sweep, out, Console(quiet=True))


def stacked_method(
    stage: str,
    name: str,
    configs: list[StudyConfig],
    seeds: list[int],
    prepared: Prepared,
    pretrained: dict | None,
) -> Method:
    """A method (or pre-training) with a configuration per run that only differ in numbers."""
    learns = "pretraining" if stage == "pretraining" else name
    hyper = _stacked([hyper_of(learns, config) for config in configs])
    runs = Runs(np.asarray(seeds, np.int32), hyper)
    if stage == "pretraining":
        return pretraining(prepared, configs[0], runs)
    return online_method(name, prepared, configs[0], runs, pretrained)


def _stacked(hypers: list[Any]) -> Any:
    return jax.tree.map(lambda *values: jnp.asarray(values, jnp.float32), *hypers)


def _method(
    sweep: Sweep, out: Path, planned: Round, unit: Unit, worlds: Worlds
) -> tuple[StudyConfig, Prepared, Method]:
    configs = [sweep.config(planned.settings[run.setting]) for run in unit.padded]
    prepared = worlds.of(configs[0])
    pretrained = None
    if unit.stage == "online" and sweep.pretrained:
        pretrained = _pretrained(out, pretraining_sources(out, unit))
    seeds = [run.seed for run in unit.padded]
    method = stacked_method(unit.stage, sweep.space.method, configs, seeds, prepared, pretrained)
    return configs[0], prepared, method


def pretraining_sources(out: Path, unit: Unit) -> list[tuple[str, int]]:
    """For every place of the program, the unit and place of its pre-training; rungs are followed back."""
    found = []
    for name, place in unit.padded_sources:
        source = load_unit(out, name)[1]
        found.append(
            (name, place) if source.stage == "pretraining" else pretraining_sources(out, source)[place]
        )
    return found


def _pretrained(out: Path, sources: list[tuple[str, int]]) -> dict:
    stored = {name: read_arrays(unit_folder(out, name) / PARAMS) for name in {name for name, _ in sources}}
    leaves = stored[sources[0][0]]
    taken = {leaf: jnp.stack([stored[name][leaf][place] for name, place in sources]) for leaf in leaves}
    return unflatten_dict(taken, sep="/")


def runs_mesh(method: Method, width: int, devices: int | None) -> Mesh | None:
    """The devices with an equal share of the runs each; None if that is one device."""
    shape = method.algorithm.config
    return make_mesh(MeshConfig(user=1), width, shape.users, shape.pool, jax.devices()[:devices])


def _train(
    out: Path,
    unit: Unit,
    config: StudyConfig,
    prepared: Prepared,
    method: Method,
    watch: Watch,
    devices: int | None = None,
) -> Trained:
    world = prepared.llm_world if unit.stage == "pretraining" else prepared.world
    return train(
        method.algorithm, method.start, method.hyper, world, config.loop,
        unit_folder(out, unit.name) / CHECKPOINTS, watch, method.hyper_axis, unit.until,
        runs_mesh(method, unit.width, devices),
    )  # fmt: skip


def _take_over(sweep: Sweep, out: Path, unit: Unit, worlds: Worlds, devices: int | None) -> None:
    """Makes what the rung before left the checkpoint that this unit goes on from."""
    store = CheckpointStore(unit_folder(out, unit.name) / CHECKPOINTS)
    if store.latest():
        return
    sources = unit.padded_sources
    reached, states = 0, {}
    for name in dict.fromkeys(name for name, _ in sources):
        planned, source = load_unit(out, name)
        states[name] = _train(
            out, source, *_method(sweep, out, planned, source, worlds), _Unwatched(), devices
        )
        reached = source.until
    taken = [jax.tree.map(lambda leaf, place=place: leaf[place], (states[name].run, states[name].metrics))
             for name, place in sources]  # fmt: skip
    store.save(reached, jax.tree.map(lambda *leaves: jnp.stack(leaves), *taken))


def _result(
    unit: Unit, config: StudyConfig, prepared: Prepared, method: Method, trained: Trained
) -> dict[str, Any]:
    shape = method.algorithm.config
    result: dict[str, Any] = {"until": unit.until, "steps": shape.users * shape.rollout * unit.until}
    count = len(unit.runs)
    if unit.stage == "online":
        if unit.complete:
            measured = measure(method, trained, prepared, config)
            metrics = measured.per_seed
        else:
            metrics = {
                name: values.tolist() for name, values in stream_metrics(trained.run.serving.ledger).items()
            }
        result["metrics"] = {name: values[:count] for name, values in metrics.items()}
        result["judgements"] = prepared.table.num_judgements if method.uses_table else 0
        result["llm_calls"] = prepared.table.costs["calls"] if method.uses_table else 0
    return result


class _Unwatched:
    """Follows nothing: what was reached before is only read back."""

    def begin(self, total: int, done: int) -> None:
        """Nothing to draw."""

    def advance(self, steps: int, latest: Any) -> None:
        """Nothing to draw."""
