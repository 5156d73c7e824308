"""From settings to units: what is static makes buckets, and memory says how many runs of a bucket share a program."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.methods import fresh_params
from ialp_jax.sweeps.definition import Sweep
from ialp_jax.sweeps.execute import runs_mesh, stacked_method
from ialp_jax.sweeps.units import (
    Round,
    Run,
    Stage,
    Unit,
    bucket_of,
    in_units,
    pretraining_key,
    updates_of,
)
from ialp_jax.sweeps.worlds import Worlds
from ialp_jax.training.device import USABLE, compile_seconds, free_memory, memory_of, sharing
from ialp_jax.training.loop import compile_chunk

# Wider programs are slower on CPUs: what they touch leaves the cache (docs/performance.md).
CPU_RUNS_PER_DEVICE = 4
Place = tuple[str, int]


@dataclass(frozen=True)
class Limits:
    """How wide a program may be.

    Attributes:
        runs: most runs of a program, rounded up to a multiple of the devices; None for as many as memory allows,
            and on CPUs a few per device.
        memory: bytes of one device that a program may take; None for most of what is free.
        devices: how many of this process's devices share the runs; None for all.
    """

    runs: int | None = None
    memory: float | None = None
    devices: int | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("runs-per-program", self.runs),
            ("devices", self.devices),
            ("memory-gb", self.memory),
        ):
            if value is not None and value <= 0:
                raise InputError(f"{value:g} is too small", column=name, fix="use a number above 0")  # fmt: skip


class Planner:
    """Makes the units of one round after the other, and remembers where their results will lie."""

    def __init__(self, sweep: Sweep, worlds: Worlds, limits: Limits, console: Console) -> None:
        self._sweep, self._worlds, self._limits, self._console = sweep, worlds, limits, console
        self._pretrained: dict[tuple[str, int], Place] = {}
        self._reached: dict[Run, tuple[Unit, int]] = {}

    def remember(self, planned: Round) -> None:
        """Notes where the results of a round's units lie."""
        for unit in planned.units:
            for place, run in enumerate(unit.runs):
                if unit.stage == "pretraining":
                    key = pretraining_key(self._sweep.config(planned.settings[run.setting]))
                    self._pretrained[key, run.seed] = (unit.name, place)
                else:
                    self._reached[run] = (unit, place)

    def plan(self, planned: Round) -> Round:
        """The round with its units: pre-training that nothing before has done, then the method itself."""
        configs = {number: self._sweep.config(setting) for number, setting in planned.settings.items()}
        runs = [Run(number, seed) for number in configs for seed in range(self._sweep.space.seeds)]
        seconds: dict[str, float] = {}
        if self._sweep.pretrained:
            first = self._units(planned, "pretraining", self._untrained(configs, runs), configs, seconds)
            planned = replace(planned, units=tuple(first))
            self.remember(planned)
        units = self._units(planned, "online", runs, configs, seconds)
        planned = replace(planned, units=(*planned.units, *units), compile_seconds=seconds)
        self.remember(planned)
        return planned

    def _untrained(self, configs: dict[int, StudyConfig], runs: Sequence[Run]) -> list[Run]:
        """One run for every pre-training that the runs need and that has no place yet."""
        found: dict[tuple[str, int], Run] = {}
        for run in runs:
            found.setdefault((pretraining_key(configs[run.setting]), run.seed), run)
        return [run for key, run in found.items() if key not in self._pretrained]

    def _units(
        self,
        planned: Round,
        stage: Stage,
        runs: Sequence[Run],
        configs: dict[int, StudyConfig],
        seconds: dict[str, float],
    ) -> list[Unit]:
        method = self._sweep.space.method
        buckets: dict[str, list[Run]] = {}
        for run in runs:
            buckets.setdefault(bucket_of(stage, method, configs[run.setting]), []).append(run)
        units = []
        for number, (bucket, members) in enumerate(buckets.items()):
            before = compile_seconds()
            width = self._width(stage, members, configs)
            seconds[bucket] = compile_seconds() - before
            whole = updates_of(stage, method, configs[members[0].setting])
            until = whole if stage == "pretraining" or planned.updates is None else planned.updates
            _refuse_short(stage, until, configs[members[0].setting])
            for part, some in enumerate(in_units(members, width)):
                name = f"{planned.number:04d}-{stage}-{number}-{part}"
                sources = tuple(self._source(stage, run, configs[run.setting]) for run in some)
                units.append(Unit(
                    name, stage, bucket, some, width, self._first(some[0], stage), until, until == whole,
                    tuple(source for source in sources if source is not None),
                ))  # fmt: skip
        return units

    def _first(self, run: Run, stage: Stage) -> int:
        """Updates that a run has had in the rounds before."""
        return self._reached[run][0].until if stage == "online" and run in self._reached else 0

    def _source(self, stage: Stage, run: Run, config: StudyConfig) -> Place | None:
        if stage == "pretraining":
            return None
        if run in self._reached:
            unit, place = self._reached[run]
            return unit.name, place
        return self._pretrained[pretraining_key(config), run.seed] if self._sweep.pretrained else None

    def _width(self, stage: Stage, members: Sequence[Run], configs: dict[int, StudyConfig]) -> int:
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
        needed = self._bytes(stage, members, configs, wanted)
        if needed <= memory:
            return wanted
        fitting = math.floor(wanted * memory / needed / len(devices)) * len(devices)
        fitting = _even(len(members), fitting, len(devices)) if fitting else 0
        self._console.print(
            f"{wanted} runs in one program need {needed / 1e6:,.1f} MB per device, {memory / 1e6:,.1f} MB may be "
            f"used: {fitting} at a time"
        )
        if fitting == 0 or self._bytes(stage, members, configs, fitting) > memory:
            raise InputError("not even one run per device fits in memory", column="memory-gb",
                             fix="use fewer users, a smaller network or catalogue, or a larger device")  # fmt: skip
        return fitting

    def _bytes(
        self, stage: Stage, members: Sequence[Run], configs: dict[int, StudyConfig], width: int
    ) -> float:
        """Memory of one device while a program of this width runs, by the compiled program's own figures."""
        some = [members[place % len(members)] for place in range(width)]
        each, seeds = [configs[run.setting] for run in some], [run.seed for run in some]
        prepared = self._worlds.of(each[0])
        params = None
        if stage == "online" and self._sweep.pretrained:
            params = fresh_params(prepared, each[0], np.asarray(seeds, np.int32))  # only their shapes count
        method = stacked_method(stage, self._sweep.space.method, each, seeds, prepared, params)
        world = prepared.llm_world if stage == "pretraining" else prepared.world
        run = jax.eval_shape(method.start)
        mesh = runs_mesh(method, width, self._limits.devices)
        program = compile_chunk(
            method.algorithm, each[0].loop.chunk, method.hyper_axis, run, method.hyper, world, mesh
        )
        return memory_of(program).total


def _refuse_short(stage: Stage, until: int, config: StudyConfig) -> None:
    """A run in which no session ends has no reward to compare."""
    turns, cap = until * config.online.rollout, config.simulator.turn_cap
    if stage == "online" and turns < cap:
        raise InputError(f"{until} updates are {turns} turns, and a session may take {cap}: none need end",
                         column="online.updates", fix="use more updates, or of a halving a larger first_share",
                         )  # fmt: skip


def _even(runs: int, most: int, devices: int) -> int:
    """The least width with which no more programs have to run than with `most`, a multiple of the devices."""
    return math.ceil(runs / math.ceil(runs / most) / devices) * devices
