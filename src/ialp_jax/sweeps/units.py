"""What a sweep executes: runs, and the units of runs that share one compiled program."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ialp_jax.artifacts import MANIFEST_NAME, fingerprint, read_json, write_json, write_manifest
from ialp_jax.methods.base import Stage
from ialp_jax.sealed import require_intact
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import hashable
from ialp_jax.study.stages import identity, learner_of, settings_of, static_key
from ialp_jax.sweeps.search import Setting

ROUNDS, UNITS = "rounds", "units"
KIND = "rounds"
Place = tuple[str, int]
"""A unit, and the place of a run in it."""


@dataclass(frozen=True)
class Run:
    """A setting with one seed."""

    setting: int
    seed: int


@dataclass(frozen=True)
class Unit:
    """Runs that share one program, and are executed together.

    Attributes:
        name: of the unit, and of its folder.
        stage: name of the stage that is trained.
        measured: whether it is the method's last stage, whose runs are measured.
        bucket: fingerprint of what is static; units of one bucket share a compiled program.
        runs: what is run, in the order of the program's run axis.
        width: runs of the program; the last run is repeated where there are fewer, and the copies are dropped.
        first: updates that the runs have had when the unit begins.
        until: updates that the runs have had in all when the unit ends.
        complete: whether that is all of them.
        sources: for each run, where the products lie of the stages that its own starts from, in `Stage.before`'s order.
        previous: for each run, where the rung before stopped; empty where the stage begins.
    """

    name: str
    stage: str
    measured: bool
    bucket: str
    runs: tuple[Run, ...]
    width: int
    first: int
    until: int
    complete: bool
    sources: tuple[tuple[Place, ...], ...] = ()
    previous: tuple[Place, ...] = ()

    def padded(self, of_runs: tuple[Any, ...]) -> tuple[Any, ...]:
        """What belongs to each run, for every place of the program."""
        return of_runs + of_runs[-1:] * (self.width - len(self.runs))


@dataclass(frozen=True)
class Round:
    """Settings that are run to the same number of updates before it is decided what to run next.

    Attributes:
        number: 0, 1, ...
        settings: values by dotted name, by number of the setting.
        updates: how many a run has had when the round ends; None for all of its own.
        units: in the order in which they are executed; a stage comes after those it starts from.
        compile_seconds: what it took to find the width of a bucket's program, by bucket.
    """

    number: int
    settings: Mapping[int, Setting]
    updates: int | None
    units: tuple[Unit, ...] = ()
    compile_seconds: Mapping[str, float] = field(default_factory=dict)

    def save(self, out: Path) -> None:
        """Writes the round: its units stay as they were planned, whoever executes them."""
        record = {**asdict(self), "settings": {str(key): value for key, value in self.settings.items()}}
        write_json(round_path(out, self.number), record)
        seal_rounds(out)


def round_path(out: Path, number: int) -> Path:
    """Where a round is stored."""
    return out / ROUNDS / f"{number:04d}.json"


def seal_rounds(out: Path) -> None:
    """Notes the hashes of the rounds planned so far."""
    write_manifest(out / ROUNDS, KIND, {})


def load_rounds(out: Path) -> list[Round]:
    """The rounds planned so far, in order."""
    return [_round(path) for path in sorted((out / ROUNDS).glob("*.json")) if path.name != MANIFEST_NAME]


def load_unit(out: Path, name: str) -> tuple[Round, Unit]:
    """A unit by name, and the round it is of."""
    planned = _round(round_path(out, int(name.split("-")[0])))
    return planned, next(unit for unit in planned.units if unit.name == name)


def _round(path: Path) -> Round:
    """A round as it was planned; `InputError` if its file was altered since then."""
    require_intact(path.parent, KIND, [path.name], "put back a copy of it, or give --fresh to `ialp sweep`")
    stored = read_json(path)
    settings = {int(key): hashable(value) for key, value in stored["settings"].items()}
    units = tuple(_unit(unit) for unit in stored["units"])
    return Round(stored["number"], settings, stored["updates"], units, stored["compile_seconds"])


def _unit(stored: dict[str, Any]) -> Unit:
    runs = tuple(Run(**run) for run in stored["runs"])
    sources, previous = hashable(stored["sources"]), hashable(stored["previous"])
    return Unit(**{**stored, "runs": runs, "sources": sources, "previous": previous})


def bucket_of(stage: Stage, config: StudyConfig, measured: bool) -> str:
    """Equal for runs of a stage that differ in nothing but numbers that are data of the program."""
    evaluation = identity(config.evaluation) if measured else None
    return fingerprint(static_key(stage, config), config.loop.chunk, evaluation)


def inputs_key(stages: Sequence[Stage], config: StudyConfig) -> str:
    """Equal for settings whose stages read the same inputs."""
    # Of the policy nothing is an input but the width that item vectors have; all else makes other inputs.
    names = sorted({name for stage in stages for name in settings_of(stage, config)} - {"policy"})
    return fingerprint({name: identity(getattr(config, name)) for name in names}, config.policy.embedding)


def updates_of(stage: Stage, config: StudyConfig) -> int:
    """Updates of a whole run of a stage."""
    return learner_of(stage, 1, config).updates


def steps_of(stage: Stage, config: StudyConfig, unit: Unit) -> int:
    """Simulator steps of a unit, its idle copies included; `config` is one of its runs', `stage` that one's."""
    return unit.width * learner_of(stage, 1, config).steps * (unit.until - unit.first)


def in_units(runs: Sequence[Run], width: int) -> Iterator[tuple[Run, ...]]:
    """The runs cut into units of equal width."""
    for start in range(0, len(runs), width):
        yield tuple(runs[start : start + width])
