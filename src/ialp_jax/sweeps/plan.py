"""From settings to units: what is static makes buckets, and memory says how many runs of a bucket share a program."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.methods.base import Scene, Stage
from ialp_jax.ranges import Count, Rate
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.stages import Runs, compiled_training, learner_of, product_shapes, stage_key
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.execute import runs_mesh, stacked_program, stage_of
from ialp_jax.sweeps.units import Place, Round, Run, Unit, bucket_of, in_units, updates_of
from ialp_jax.sweeps.worlds import Worlds
from ialp_jax.training.device import USABLE, compile_seconds, free_memory, memory_of, sharing
from ialp_jax.values import checked

# Wider programs are slower on CPUs: what they touch leaves the cache (docs/performance.md).
CPU_RUNS_PER_DEVICE = 4


@dataclass(frozen=True)
@checked
class Limits:
    """How wide a program may be.

    Attributes:
        runs: most runs of a program, rounded up to a multiple of the devices; None for as many as memory allows,
            and on CPUs a few per device.
        memory: bytes of one device that a program may take; None for most of what is free.
        devices: how many of this process's devices share the runs; None for all.
    """

    runs: Count | None = None
    memory: Rate | None = None
    devices: Count | None = None


class Planner:
    """Makes the units of one round after the other, and remembers where their results will lie."""

    def __init__(self, sweep: Sweep, worlds: Worlds, limits: Limits, console: Console) -> None:
        self._sweep, self._worlds, self._limits, self._console = sweep, worlds, limits, console
        self._products: dict[tuple[str, int], Place] = {}
        self._reached: dict[Run, tuple[Unit, int]] = {}

    def remember(self, planned: Round) -> None:
        """Notes where the results of a round's units lie."""
        for unit in planned.units:
            for place, run in enumerate(unit.runs):
                if unit.measured:
                    self._reached[run] = (unit, place)
                else:
                    config = self._sweep.config(planned.settings[run.setting])
                    key = self._key(stage_of(self._sweep, config, unit.stage), config)
                    self._products[key, run.seed] = (unit.name, place)

    def plan(self, planned: Round) -> Round:
        """The round with its units: the stages that nothing before has trained, in order, and the last one of every run."""
        configs = {number: self._sweep.config(setting) for number, setting in planned.settings.items()}
        runs = [Run(number, seed) for number in configs for seed in range(self._sweep.space.seeds)]
        seconds: dict[str, float] = {}
        stages = {number: self._sweep.stages(config) for number, config in configs.items()}
        for name in dict.fromkeys(stage.name for of_setting in stages.values() for stage in of_setting[:-1]):
            units = self._units(planned, name, False, self._untrained(configs, runs, name), configs, seconds)
            planned = replace(planned, units=(*planned.units, *units))
            self.remember(planned)
        last = next(iter(stages.values()))[-1].name
        units = self._units(planned, last, True, runs, configs, seconds)
        planned = replace(planned, units=(*planned.units, *units), compile_seconds=seconds)
        self.remember(planned)
        return planned

    def _key(self, stage: Stage, config: StudyConfig) -> str:
        return stage_key(stage, config, lambda _: None)  # logs and table are the same for all runs of a sweep

    def _untrained(self, configs: dict[int, StudyConfig], runs: Sequence[Run], name: str) -> list[Run]:
        """One run for every training of a stage that the runs need and that has no place yet."""
        needed: dict[tuple[str, int], Run] = {}
        for run in runs:
            config = configs[run.setting]
            for stage in self._sweep.stages(config):
                if stage.name == name:
                    needed.setdefault((self._key(stage, config), run.seed), run)
        return [run for key, run in needed.items() if key not in self._products]

    def _units(
        self,
        planned: Round,
        name: str,
        measured: bool,
        runs: Sequence[Run],
        configs: dict[int, StudyConfig],
        seconds: dict[str, float],
    ) -> list[Unit]:
        buckets: dict[str, list[Run]] = {}
        for run in runs:
            stage = stage_of(self._sweep, configs[run.setting], name)
            buckets.setdefault(bucket_of(stage, configs[run.setting], measured), []).append(run)
        units = []
        for number, (bucket, members) in enumerate(buckets.items()):
            before, config = compile_seconds(), configs[members[0].setting]
            width = self._width(name, members, configs)
            seconds[bucket] = compile_seconds() - before
            whole = updates_of(stage_of(self._sweep, config, name), config)
            until = planned.updates if measured and planned.updates is not None else whole
            if measured:
                _refuse_short(until, learner_of(stage_of(self._sweep, config, name), 1, config).scene)
            for part, some in enumerate(in_units(members, width)):
                units.append(Unit(
                    f"{planned.number:04d}-{name.lower().replace(' ', '-')}-{number}-{part}", name, measured, bucket,
                    some, width, self._first(some[0], measured), until, until == whole,
                    tuple(self._sources(name, run, configs[run.setting]) for run in some),
                    tuple(self._previous(run) for run in some if measured and run in self._reached),
                ))  # fmt: skip
        return units

    def _first(self, run: Run, measured: bool) -> int:
        """Updates that a run has had in the rounds before."""
        return self._reached[run][0].until if measured and run in self._reached else 0

    def _previous(self, run: Run) -> Place:
        """Where the rung before has left a run."""
        unit, place = self._reached[run]
        return unit.name, place

    def _sources(self, name: str, run: Run, config: StudyConfig) -> tuple[Place, ...]:
        """Where the products lie that a stage of a run starts from."""
        before = stage_of(self._sweep, config, name).before
        return tuple(self._products[self._key(stage, config), run.seed] for stage in before)

    def _width(self, name: str, members: Sequence[Run], configs: dict[int, StudyConfig]) -> int:
        """Runs per program of a bucket: compiled once at the width that is wanted, and again only if it is too large.

        Raises:
            InputError: if not even one run per device fits.
        """
        devices = jax.devices()[: self._limits.devices]
        if self._limits.devices is not None and self._limits.devices > len(devices):
            raise InputError(f"{self._limits.devices} devices are asked for, and there are {len(devices)}",
                             column="devices", fix=f"use {len(devices)} or fewer")  # fmt: skip
        wanted = len(members) if self._limits.runs is None else min(self._limits.runs, len(members))
        if self._limits.runs is None and devices[0].platform == "cpu":
            wanted = min(wanted, CPU_RUNS_PER_DEVICE * len(devices))
        wanted = _even(len(members), wanted, len(devices))
        memory = self._limits.memory or USABLE * free_memory(devices[0]) / sharing(devices)
        needed = self._bytes(name, members, configs, wanted)
        if needed <= memory:
            return wanted
        fitting = math.floor(wanted * memory / needed / len(devices)) * len(devices)
        fitting = _even(len(members), fitting, len(devices)) if fitting else 0
        self._console.print(
            f"{wanted} runs in one program need {needed / 1e6:,.1f} MB per device, {memory / 1e6:,.1f} MB may be "
            f"used: {fitting} at a time"
        )
        if fitting == 0 or self._bytes(name, members, configs, fitting) > memory:
            raise InputError("not even one run per device fits in memory", column="memory-gb",
                             fix="use fewer users, a smaller network or catalogue, or a larger device")  # fmt: skip
        return fitting

    def _bytes(self, name: str, members: Sequence[Run], configs: dict[int, StudyConfig], width: int) -> float:
        """Memory of one device while a program of this width runs, by the compiled program's own figures."""
        some = [members[place % len(members)] for place in range(width)]
        each, seeds = [configs[run.setting] for run in some], [run.seed for run in some]
        inputs = self._worlds.of(each[0])
        before = stage_of(self._sweep, each[0], name).before

        def products(number: int) -> Any:
            return product_shapes(before[number], inputs, each[0], Runs(np.asarray(seeds, np.int32)))

        stacked = stacked_program(self._sweep, name, each, seeds, inputs, products)
        mesh = runs_mesh(stacked, width, self._limits.devices)
        program = compiled_training(stacked, each[0].loop.chunk, mesh)
        return memory_of(program).total


def _refuse_short(until: int, scene: Scene) -> None:
    """A run in which no session ends has no reward to compare, nor one that stops before those of a first bin have ended."""
    turns, cap = until * scene.stream.rollout, scene.simulator.config.turn_cap
    if turns < cap:
        raise InputError(f"{until} updates are {turns} turns, and a session may take {cap}: none need end",
                         column="online.updates", fix="use more updates, or of a halving a larger first_share",
                         )  # fmt: skip
    if not scene.whole_bins(until):
        width = math.ceil(scene.stream.rollout * scene.stream.updates / scene.stream.bins)
        raise InputError(f"after {until} updates, {turns} turns, not all sessions that began in the first bin of the curve "
                         f"need have ended: it has {width} turns, and a session may take {cap}",
                         column="online.bins", fix="use more bins, more updates, or of a halving a larger first_share",
                         )  # fmt: skip


def _even(runs: int, most: int, devices: int) -> int:
    """The least width with which no more programs have to run than with `most`, a multiple of the devices."""
    return math.ceil(runs / math.ceil(runs / most) / devices) * devices
