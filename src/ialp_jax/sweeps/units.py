"""What a sweep executes: runs, and the units of runs that share one compiled program."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ialp_jax.artifacts import fingerprint, read_json, write_json
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import decisive_fields, fields_of, hashable, held
from ialp_jax.sweeps.search import Setting
from ialp_jax.sweeps.settings import affects

Stage = Literal["pretraining", "online"]
ROUNDS, UNITS = "rounds", "units"
# What the other stage alone uses. All else is decisive unless it is data of the program: a field that is missing here
# costs a compilation, never a wrong result.
_FOREIGN: dict[Stage, tuple[str, ...]] = {
    "pretraining": ("online", "mixture_weight", "mixture_start", "value_start", "evaluation"),
    "online": ("pretrain",),
}

# What worlds are not made from (of the policy, the width that item vectors have); all else makes another world.
_NO_WORLD = ("seeds", "methods", "policy.", "pretrain.", "pretrain_hyper.", "online.", "scratch_hyper.", "adapt_hyper.",
             "mixture_weight", "mixture_start", "value_start", "evaluation.", "loop.")  # fmt: skip


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
        stage: pre-training in the LLM's world, or the method itself.
        bucket: fingerprint of what is static; units of one bucket share a compiled program.
        runs: what is run, in the order of the program's run axis.
        width: runs of the program; the last run is repeated where there are fewer, and the copies are dropped.
        first: updates that the runs have had when the unit begins.
        until: updates that the runs have had in all when the unit ends.
        complete: whether that is all of them.
        sources: for each run, the unit and place that holds what it starts from (iALP's parameters, or where the
            rung before stopped); empty where it starts from nothing.
    """

    name: str
    stage: Stage
    bucket: str
    runs: tuple[Run, ...]
    width: int
    first: int
    until: int
    complete: bool
    sources: tuple[tuple[str, int], ...] = ()

    @property
    def padded(self) -> tuple[Run, ...]:
        """One run for every place of the program."""
        return self.runs + self.runs[-1:] * (self.width - len(self.runs))

    @property
    def padded_sources(self) -> tuple[tuple[str, int], ...]:
        """What every place of the program starts from."""
        return self.sources + self.sources[-1:] * (self.width - len(self.runs))


@dataclass(frozen=True)
class Round:
    """Settings that are run to the same number of updates before it is decided what to run next.

    Attributes:
        number: 0, 1, ...
        settings: values by dotted name, by number of the setting.
        updates: how many a run has had when the round ends; None for all of its own.
        units: in the order in which they are executed; those of pre-training come first.
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


def round_path(out: Path, number: int) -> Path:
    """Where a round is stored."""
    return out / ROUNDS / f"{number:04d}.json"


def load_rounds(out: Path) -> list[Round]:
    """The rounds planned so far, in order."""
    return [_round(read_json(path)) for path in sorted((out / ROUNDS).glob("*.json"))]


def load_unit(out: Path, name: str) -> tuple[Round, Unit]:
    """A unit by name, and the round it is of."""
    found = _round(read_json(round_path(out, int(name.split("-")[0]))))
    return found, next(unit for unit in found.units if unit.name == name)


def _round(stored: dict[str, Any]) -> Round:
    settings = {int(key): hashable(value) for key, value in stored["settings"].items()}
    units = tuple(_unit(unit) for unit in stored["units"])
    return Round(stored["number"], settings, stored["updates"], units, stored["compile_seconds"])


def _unit(stored: dict[str, Any]) -> Unit:
    runs = tuple(Run(**run) for run in stored["runs"])
    sources = tuple((name, place) for name, place in stored["sources"])
    return Unit(**{**stored, "runs": runs, "sources": sources})


def bucket_of(stage: Stage, method: str, config: StudyConfig) -> str:
    """Equal for runs of a stage that differ in nothing but numbers that are data of the program."""
    user = "ialp" if stage == "pretraining" else method
    names = [
        name
        for name in decisive_fields(config)
        if name.split(".")[0] not in _FOREIGN[stage] and affects(user, name)
    ]
    supervised = stage == "pretraining" and config.pretrain_hyper.supervised > 0.0
    return fingerprint(
        stage, method if stage == "online" else "", supervised, {name: held(config, name) for name in names}
    )


def pretraining_key(config: StudyConfig) -> str:
    """Equal for settings that share one pre-trained policy per seed."""
    return fingerprint(bucket_of("pretraining", "", config), config.pretrain_hyper)


def world_key(config: StudyConfig) -> str:
    """Equal for settings that share both worlds."""
    names = [
        name for name in fields_of(config) if not name.startswith(_NO_WORLD) or name == "policy.embedding"
    ]
    return fingerprint({name: held(config, name) for name in names})


def updates_of(stage: Stage, method: str, config: StudyConfig) -> int:
    """Updates of a whole run of a stage."""
    if stage == "pretraining":
        return config.pretrain.updates
    return config.fixed().updates if method == "ialp" else config.online.updates


def steps_of(unit: Unit, config: StudyConfig) -> int:
    """Simulator steps of a unit, its idle copies included; `config` is one of its runs'."""
    shape = config.pretrain if unit.stage == "pretraining" else config.online
    return unit.width * shape.users * shape.rollout * (unit.until - unit.first)


def in_units(runs: Sequence[Run], width: int) -> Iterator[tuple[Run, ...]]:
    """The runs cut into units of equal width."""
    for start in range(0, len(runs), width):
        yield tuple(runs[start : start + width])
