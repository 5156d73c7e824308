"""Executes one unit of a sweep and leaves its files; a unit that has them is not executed again.

units/NAME/checkpoints    while it runs; kept where a later rung goes on from there
units/NAME/product.npz    of a stage that others start from: what every run leaves
units/NAME/result.json    metrics and costs of every run; written last
units/NAME/timings.json   how long it took
units/NAME/manifest.json  hashes of these files
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from ialp_jax.artifacts import fingerprint, read_arrays, read_json, write_arrays, write_json, writing
from ialp_jax.divergence import Divergence
from ialp_jax.durable import remove_tree
from ialp_jax.methods.base import Stage
from ialp_jax.sealed import require_intact, seal
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.measure import costs_of, measure, stream_metrics
from ialp_jax.study.stages import Program, Runs, learner_of, own_numbers, product_shapes, program_of
from ialp_jax.sweeps.definition import Sweep, load_sweep
from ialp_jax.sweeps.units import UNITS, Place, Round, Unit, load_unit, updates_of
from ialp_jax.sweeps.worlds import Worlds
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.device import compile_seconds, prepare_device
from ialp_jax.training.loop import Trained, train
from ialp_jax.training.mesh import MeshConfig, make_mesh
from ialp_jax.training.progress import Watch

RESULT, TIMINGS, PRODUCT, CHECKPOINTS = "result.json", "timings.json", "product.npz", "checkpoints"
KIND = "unit"
Products = Callable[[int], Any]


def unit_folder(out: Path, name: str) -> Path:
    """Where a unit's files are."""
    return out / UNITS / name


def is_done(out: Path, name: str) -> bool:
    """Whether a unit has been executed."""
    return (unit_folder(out, name) / RESULT).exists()


def seal_unit(out: Path, name: str) -> None:
    """Notes the hashes of an executed unit's files; those of an earlier version are taken as they are."""
    seal(unit_folder(out, name), KIND, {"unit": name}, (RESULT, TIMINGS, PRODUCT))


def unit_file(out: Path, name: str, file: str) -> Path:
    """One of an executed unit's files.

    Raises:
        InputError: if it was altered after the unit was executed.
    """
    folder = unit_folder(out, name)
    require_intact(
        folder,
        KIND,
        [file],
        f"delete {folder} and run the same sweep again: this unit alone is executed anew",
    )
    return folder / file


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
    program = unit_program(sweep, out, planned, unit, worlds)
    if unit.previous:
        _take_over(sweep, out, planned, unit, worlds, watch, devices)
    trained = _train(sweep, out, planned, unit, program, watch, devices)
    folder = unit_folder(out, name)
    if not unit.measured:
        product = jax.tree.leaves(program.products(trained.run))
        write_arrays(
            folder / PRODUCT, {f"{number:04d}": np.asarray(leaf) for number, leaf in enumerate(product)}
        )
    result = _result(sweep, out, planned, unit, worlds, program, trained)
    write_json(folder / TIMINGS, {
        "unit": name, "stage": unit.stage, "bucket": unit.bucket, "runs": len(unit.runs),
        "idle_copies": unit.width - len(unit.runs), "seconds": time.monotonic() - begun,
        "compile_seconds": compile_seconds() - compiled,
        "steps": len(unit.runs) * program.learner.steps * (unit.until - unit.first),
    })  # fmt: skip
    write_json(folder / RESULT, result)
    seal_unit(out, name)
    if unit.complete:
        with writing(folder):
            remove_tree(folder / CHECKPOINTS)


def execute_stored(out: Path, name: str) -> None:
    """`execute_unit` for a process that knows nothing but the folder: a worker of a cluster."""
    sweep, worlds = _stored(out)
    execute_unit(sweep, out, name, worlds, _Unwatched(partial(Console(stderr=True).print, markup=False)))


@lru_cache(maxsize=1)
def _stored(out: Path) -> tuple[Sweep, Worlds]:
    prepare_device(a_device_per_core=True)
    sweep = load_sweep(out)
    return sweep, Worlds(sweep, out, Console(quiet=True))


def stacked_program(
    sweep: Sweep,
    name: str,
    configs: Sequence[StudyConfig],
    seeds: Sequence[int],
    inputs: Inputs,
    products: Products,
) -> Program:
    """A stage with a configuration per run that only differ in numbers.

    Args:
        sweep: whose method it is of.
        name: of the stage.
        configs: of each run.
        seeds: of each run.
        inputs: of all of them.
        products: of the stages before, by their place in `Stage.before`, every leaf [R].
    """
    stages = [stage_of(sweep, config, name) for config in configs]
    runs = Runs(np.asarray(seeds, np.int32), own_numbers(stages))
    before = stages[0].before
    return program_of(stages[0], inputs, configs[0], runs, lambda source: products(before.index(source)))


def stage_of(sweep: Sweep, config: StudyConfig, name: str) -> Stage:
    """A stage of a run by its name."""
    return next(stage for stage in sweep.stages(config) if stage.name == name)


def unit_program(sweep: Sweep, out: Path, planned: Round, unit: Unit, worlds: Worlds) -> Program:
    """The program of a unit, started from what its runs' earlier stages have left."""
    configs = [sweep.config(planned.settings[run.setting]) for run in unit.padded(unit.runs)]
    seeds = [run.seed for run in unit.padded(unit.runs)]
    inputs = worlds.of(configs[0])
    before = stage_of(sweep, configs[0], unit.stage).before

    def products(number: int) -> Any:
        runs = Runs(np.asarray(seeds, np.int32))
        structure = jax.tree.structure(product_shapes(before[number], inputs, configs[0], runs))
        return jax.tree.unflatten(
            structure, _leaves(out, [places[number] for places in unit.padded(unit.sources)])
        )

    return stacked_program(sweep, unit.stage, configs, seeds, inputs, products)


def _leaves(out: Path, sources: Sequence[Place]) -> list[Any]:
    """The leaves of what the runs in these places have left, every leaf [R]."""
    stored = {name: read_arrays(unit_file(out, name, PRODUCT)) for name in {name for name, _ in sources}}
    names = sorted(stored[sources[0][0]])
    return [jnp.stack([stored[name][leaf][place] for name, place in sources]) for leaf in names]


def runs_mesh(program: Program, width: int, devices: int | None) -> Mesh | None:
    """The devices with an equal share of the runs each; None if that is one device."""
    stream = program.learner.scene.stream
    return make_mesh(MeshConfig(user=1), width, stream.users, stream.pool, jax.devices()[:devices])


def _train(
    sweep: Sweep,
    out: Path,
    planned: Round,
    unit: Unit,
    program: Program,
    watch: Watch,
    devices: int | None = None,
) -> Trained:
    loop = sweep.config(planned.settings[unit.runs[0].setting]).loop
    return train(
        program.learner, program.start, program.hyper, program.data, loop,
        _run_states(sweep, out, planned, unit), watch, program.hyper_axis, unit.until,
        runs_mesh(program, unit.width, devices),
    )  # fmt: skip


def _run_states(sweep: Sweep, out: Path, planned: Round, unit: Unit) -> CheckpointStore:
    """Where the run states of a unit are kept, which are those of its runs in this sweep alone."""
    settings = {run.setting: planned.settings[run.setting] for run in unit.runs}
    return CheckpointStore(
        unit_folder(out, unit.name) / CHECKPOINTS, fingerprint(sweep.identity, unit, settings)
    )


def _take_over(
    sweep: Sweep, out: Path, planned: Round, unit: Unit, worlds: Worlds, watch: Watch, devices: int | None
) -> None:
    """Makes what the rung before left the checkpoint that this unit goes on from."""
    store = _run_states(sweep, out, planned, unit)
    if store.latest(lambda _: None):  # training looks again, and names what it passes over
        return
    places = unit.padded(unit.previous)
    reached, states = 0, {}
    for name in dict.fromkeys(name for name, _ in places):
        before, rung = load_unit(out, name)
        program = unit_program(sweep, out, before, rung, worlds)
        states[name] = _train(sweep, out, before, rung, program, _Unwatched(watch.warn), devices)
        reached = rung.until
    taken = [
        jax.tree.map(lambda leaf, place=place: leaf[place], states[name].checkpoint) for name, place in places
    ]
    store.save(reached, jax.tree.map(lambda *leaves: jnp.stack(leaves), *taken))


def _result(
    sweep: Sweep, out: Path, planned: Round, unit: Unit, worlds: Worlds, program: Program, trained: Trained
) -> dict[str, Any]:
    """What is stored of a unit: which runs diverged; of the last stage metrics and costs of every run."""
    result: dict[str, Any] = {"until": unit.until}
    diverged = _diverged(out, unit, trained)
    if any(one is not None for one in diverged):
        result["diverged"] = [None if one is None else one.record() for one in diverged[: len(unit.runs)]]
    if not unit.measured:
        return result
    configs = [sweep.config(planned.settings[run.setting]) for run in unit.runs]
    if unit.complete:
        stages = sweep.stages(configs[0])
        metrics = measure(
            sweep.method.card, stages, program, trained, worlds.of(configs[0]), configs[0], diverged
        ).per_seed
    else:
        sound = np.array([one is None for one in diverged])
        bins = program.learner.scene.whole_bins(unit.until)
        so_far = stream_metrics(trained.run.serving.ledger, sound, bins)
        metrics = {name: values.tolist() for name, values in so_far.items()}
    result["metrics"] = {name: values[: len(unit.runs)] for name, values in metrics.items()}
    result["costs"] = [_costs(sweep, config, worlds, unit.until) for config in configs]
    return result


def _diverged(out: Path, unit: Unit, trained: Trained) -> list[Divergence | None]:
    """What is said of every run of a program that diverged, in a stage before or here; None of the others."""
    before = {name: diverged_of(out, name) for places in unit.sources for name, _ in places}

    def one(places: Sequence[Place], here: Divergence | None) -> Divergence | None:
        earlier = (before[name].get(place) for name, place in places)
        own = None if here is None else replace(here, stage=unit.stage)
        return next((found for found in (*earlier, own) if found is not None), None)

    sources = unit.padded(unit.sources) if unit.sources else ((),) * unit.width
    return [one(places, here) for places, here in zip(sources, trained.diverged, strict=True)]


def diverged_of(out: Path, name: str) -> dict[int, Divergence]:
    """What is said of the runs of an executed unit that diverged, by their place in it."""
    stored = read_json(unit_file(out, name, RESULT)).get("diverged", [])
    return {place: Divergence.of_record(record) for place, record in enumerate(stored) if record is not None}


def _costs(sweep: Sweep, config: StudyConfig, worlds: Worlds, until: int) -> dict[str, int]:
    """What a run has taken after so many updates of its last stage."""
    stages = sweep.stages(config)
    costs = asdict(costs_of(stages, worlds.of(config), config))
    missing = updates_of(stages[-1], config) - until
    costs["online_steps"] -= missing * learner_of(stages[-1], 1, config).steps
    return costs


@dataclass(frozen=True)
class _Unwatched:
    """Draws nothing: what was reached before is only read back, or is another process's to show."""

    warn: Callable[[str], None]

    def begin(self, total: int, done: int) -> None:
        """Nothing to draw."""

    def advance(self, steps: int, latest: Any) -> None:
        """Nothing to draw."""
