"""A sweep as it is stored: enough to make the configuration of any of its runs again, in any process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ialp_jax import environments
from ialp_jax.artifacts import InputError, Value, fingerprint, plain, read_json
from ialp_jax.environments import Environment
from ialp_jax.marks import UsersWorld
from ialp_jax.methods.base import Stage, rest_on_table
from ialp_jax.methods.registry import Registered, get
from ialp_jax.study.command import command
from ialp_jax.study.config import Preset, StudyConfig, preset
from ialp_jax.study.decision import ENTRY, UNDECIDED, Decision, concrete, decided_values, recorded
from ialp_jax.study.fields import apply, fields_of, hashable, held, marks_of
from ialp_jax.study.stages import stages_of
from ialp_jax.sweeps.search import Setting
from ialp_jax.sweeps.space import Axis, Search, Space
from ialp_jax.training.loop import LoopConfig
from ialp_jax.values import checked, made_from, require_fields

SWEEP_FILE = "sweep.json"
FORMAT, HALVING_FORMAT = 3, 4
"""Of a sweep's files. Raised when a unit's result comes to mean something else, so that two formats never mix in a table;
those of runs that stop early have been raised by themselves."""

_KINDS = {
    **dict.fromkeys(("env", "preset", "method", "objective"), str), "data": str | None, "prefs": str | None, "seeds": int,
    "changes": dict, "search": dict, "fixed": dict, "axes": list,
}  # fmt: skip


@dataclass(frozen=True)
@checked
class Sweep:
    """What is run.

    Attributes:
        env: name of an environment, or absolute path of a file that registers one.
        preset: size of the study that the runs change.
        data: absolute path of a folder of logs, if any.
        prefs: absolute path of a finished preference table, if any.
        changes: fields of every run that differ from the preset, by dotted name.
        space: what is searched; checked against the study.
        decision: what auto stands for, the same for all settings.
    """

    env: str
    preset: Preset
    data: Path | None
    prefs: Path | None
    changes: Mapping[str, Value]
    space: Space
    decision: Decision = UNDECIDED

    @cached_property
    def environment(self) -> tuple[str, Environment]:
        """Its name, and where the users come from."""
        return environments.get(self.env)

    def config(self, setting: Setting) -> StudyConfig:
        """The study that a setting stands for."""
        return concrete(self.asked(setting), self.decision)

    def asked(self, setting: Setting) -> StudyConfig:
        """The same as it was asked for: auto where it is to be decided."""
        changes = {**self.changes, **setting, "seeds": self.space.seeds}
        return apply(preset(self.environment[1], self.preset, (self.space.method,)), changes)

    def command(self, setting: Setting) -> str:
        """The shell command that trains a setting, all its seeds, and reports."""
        words = command(self.env, self.preset, self.data, self.prefs, self.space.method, self.space.seeds,
                        {**self.changes, **setting, **self._decided(setting)})  # fmt: skip
        # A folder of its own: the default one may hold another study.
        return f"{words} --out runs/{self.environment[0]}-{self.method.name}-{fingerprint(setting)[:6]}"

    def _decided(self, setting: Setting) -> Mapping[str, Value]:
        """Values of a setting that were decided for all of them, where anything was."""
        return decided_values(self.asked(setting), self.decision) if self.decision.questions else {}

    @cached_property
    def method(self) -> Registered:
        """The method that is run, as the registry has it."""
        return get(self.space.method)

    def stages(self, config: StudyConfig) -> tuple[Stage, ...]:
        """The stages of a run; the last one is measured."""
        return stages_of(self.method, config)

    @property
    def rests_on_table(self) -> bool:
        """Whether the preference table is part of what is run."""
        return rest_on_table(self.stages(self.config({})))

    @cached_property
    def has_worlds(self) -> bool:
        """Whether settings differ in the users' world; such a sweep has one round."""
        base = self.config({})
        marks = (mark for axis in self.space.axes for mark in marks_of(base, axis.name))
        return any(isinstance(mark, UsersWorld) for mark in marks)

    def record(self) -> dict[str, Any]:
        """As JSON; `load_sweep` reads it."""
        space = plain(self.space)
        search = {"search": space.pop("search"), "axes": space.pop("axes"), "fixed": space.pop("fixed")}
        return {"environment": self.environment[0], "env": self.env, "preset": self.preset, "data": plain(self.data),
                "prefs": plain(self.prefs), "changes": plain(self.changes), **space, **search,
                **self.decision.record()}  # fmt: skip

    @property
    def format(self) -> int:
        """Of its files."""
        return HALVING_FORMAT if self.space.search.kind == "halving" else FORMAT

    @property
    def identity(self) -> str:
        """Equal for sweeps whose runs are the same."""
        record, idle = self.record(), "loop.checkpoint_seconds"  # of no effect on results
        record.pop(ENTRY, None)  # its values are those of the study
        record["changes"] = {name: value for name, value in self.changes.items() if name != idle}
        return fingerprint(
            self.format,
            record,
            self.method.source,
            replace(self.config({}), loop=LoopConfig(self.config({}).loop.chunk)),
        )


def load_sweep(out: Path) -> Sweep:
    """The sweep whose folder this is.

    Raises:
        InputError: if `sweep.json` is missing or damaged.
    """
    file = out / SWEEP_FILE
    stored = read_json(file)
    require_fields(stored, _KINDS, file, "give --fresh to `ialp sweep`, which starts it anew")
    axes = tuple(made_from(Axis, axis, file) for axis in stored["axes"])
    search = made_from(Search, stored["search"], file)
    data, prefs = (None if stored[name] is None else Path(stored[name]) for name in ("data", "prefs"))
    try:
        space = Space(method=stored["method"], objective=stored["objective"], seeds=stored["seeds"], search=search,
                      fixed=hashable(stored["fixed"]), axes=axes)  # fmt: skip
        return Sweep(stored["env"], stored["preset"], data, prefs, hashable(stored["changes"]), space,
                     recorded(file) or UNDECIDED)  # fmt: skip
    except InputError as error:
        raise error.in_file(file) from None


def changed_fields(config: StudyConfig, base: StudyConfig) -> dict[str, Value]:
    """The fields, by dotted name, in which a study differs from another; not what a space decides itself."""
    names = [name for name in fields_of(base) if name not in ("seeds", "methods")]
    return {name: held(config, name) for name in names if held(config, name) != held(base, name)}
