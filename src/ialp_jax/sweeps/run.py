"""The job: round after round of settings, unit after unit of runs; then the tables and the page."""

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
from rich.console import Console

from ialp_jax.artifacts import InputError, plain, read_json, write_json, writing
from ialp_jax.cluster.ray_tasks import run_tasks
from ialp_jax.durable import remove_abandoned, remove_leftovers, remove_tree
from ialp_jax.folders import claimed, require_free
from ialp_jax.installed import versions
from ialp_jax.naming import label
from ialp_jax.report.sweep import print_sweep, write_sweep_report
from ialp_jax.report.sweep.inputs import KIND, MEND, READ, WRITTEN
from ialp_jax.sealed import is_sealed, require_intact, seal, seal_again, unseal
from ialp_jax.study.fields import record_of
from ialp_jax.study.measure import PHASES
from ialp_jax.study.table import judge_record
from ialp_jax.sweeps.adaptive import JOURNAL_NAME, importance
from ialp_jax.sweeps.deciding import decision_of
from ialp_jax.sweeps.definition import SWEEP_FILE, Sweep
from ialp_jax.sweeps.execute import (
    CHECKPOINTS,
    RESULT,
    execute_stored,
    execute_unit,
    is_done,
    seal_unit,
    stage_of,
)
from ialp_jax.sweeps.plan import Limits, Planner
from ialp_jax.sweeps.progress import SweepBar, sweep_bar
from ialp_jax.sweeps.rounds import Rounds, planned_settings, planned_steps, rounds
from ialp_jax.sweeps.search import advice
from ialp_jax.sweeps.tables import TABLES, scores, write_tables
from ialp_jax.sweeps.units import ROUNDS, UNITS, Round, Unit, load_rounds, seal_rounds, steps_of
from ialp_jax.sweeps.worlds import FOLDER, Worlds
from ialp_jax.values import checked, require_fields

ELSEWHERE = "give another folder as OUT, or --fresh to start anew"
Engine = Literal["local", "ray"]


@dataclass(frozen=True)
@checked
class SweepJob:
    """One sweep to run, or to go on with.

    Attributes:
        sweep: what is run.
        out: folder for everything.
        limits: how wide a program may be.
        engine: where units are executed: in this process, or as tasks of a Ray cluster.
        fresh: start anew even if `out` holds this sweep.
    """

    sweep: Sweep
    out: Path
    limits: Limits
    engine: Engine = "local"
    fresh: bool = False

    def run(self, console: Console) -> dict[str, Any]:
        """Runs what has not been run yet, and returns the summary; every file is in `out` afterwards.

        Raises:
            InputError: if the folder holds another sweep, or another process is at work in it.
        """
        begun = time.monotonic()
        require_free(self.out, self._work)
        with tempfile.TemporaryDirectory() as scratch:  # until it is known whose the folder is
            worlds = Worlds(self.sweep, Path(scratch), console)
            decision = decision_of(self.sweep, worlds, self.out, self.fresh, console)
            worlds.decided(decision)
            return replace(self, sweep=replace(self.sweep, decision=decision))._run(worlds, begun, console)

    @property
    def _work(self) -> str:
        """What this process does in its folder."""
        return f"ialp sweep {self.sweep.environment[0]}, {self.sweep.space.method}, {self.sweep.identity}"

    def _run(self, worlds: Worlds, begun: float, console: Console) -> dict[str, Any]:
        self._read(worlds)
        with claimed(self.out, self._work):
            with writing(self.out):
                self._open(console)
                worlds.settle_in(self.out)
            self._describe(worlds, console)
            self._execute(worlds, console)
            with writing(self.out):
                for checkpoints in self.out.glob(f"{UNITS}/*/{CHECKPOINTS}"):  # rungs went on from them
                    remove_tree(checkpoints)
            summary = write_report(self.sweep, self.out)
            inputs = {"identity": self.sweep.identity, **read_json(self.out / SWEEP_FILE)["inputs"]}
            seal(self.out, KIND, inputs, (*READ, *WRITTEN, JOURNAL_NAME))
        print_sweep(summary, console)
        console.print(
            f"{self.out / 'report.html'}  ({time.monotonic() - begun:.0f} s)", markup=False, soft_wrap=True
        )
        return summary

    def _read(self, worlds: Worlds) -> None:
        """Reads the logs and the table that was given, before anything is written: neither may be fit for use."""
        base = self.sweep.config({})
        if self.sweep.rests_on_table:
            base.preferences.check_source(finished=self.sweep.prefs is not None)
        worlds.of(base)

    def _open(self, console: Console) -> None:
        """Makes the folder this sweep's, or goes on with what lies there."""
        path = self.out / SWEEP_FILE
        remove_abandoned(self.out)
        for name in (ROUNDS, UNITS, FOLDER):
            remove_leftovers(self.out / name)
        if path.exists() and not self.fresh:
            require_intact(self.out, KIND, (SWEEP_FILE, JOURNAL_NAME), f"put back a copy of it, {ELSEWHERE}")
            found = read_json(path)
            require_fields(found, {}, path, ELSEWHERE)
            if found.get("format", 1) != self.sweep.format and found.get("identity"):
                raise InputError("this sweep was begun by an earlier version, whose results do not mix with this one's",
                                 file=path, fix="finish it with that version, give another folder as OUT, or --fresh to start anew",
                                 )  # fmt: skip
            if found.get("identity") != self.sweep.identity:
                raise InputError("this folder holds another sweep", file=path, fix=ELSEWHERE)
            require_fields(found, {"versions": list}, path, ELSEWHERE)
            if versions() not in found["versions"]:
                console.print("[yellow]other versions of the packages than when this sweep began: what follows is the "
                              "same sweep, but not bitwise the uninterrupted one[/yellow]")  # fmt: skip
            self._adopt()
            return
        if path.exists():
            unseal(self.out)
            write_json(
                path, {"identity": None}
            )  # whatever happens now, what is left is no sweep to go on with
            for name in (ROUNDS, UNITS, FOLDER):
                remove_tree(self.out / name)
            for name in (*TABLES, *WRITTEN, JOURNAL_NAME):
                (self.out / name).unlink(missing_ok=True)
        elif any(not entry.name.startswith(".") for entry in self.out.iterdir()):
            raise InputError("this folder is not empty, and holds no sweep", file=self.out,
                             fix="give a new or an empty folder as OUT")  # fmt: skip
        write_json(path, self._record())

    def _adopt(self) -> None:
        """Makes the folder one that is worked in; what a killed process or an earlier version left gets its hashes."""
        unseal(self.out)
        if load_rounds(self.out):  # whose hashes, as far as they have any, are checked
            seal_rounds(self.out)
        for result in sorted(self.out.glob(f"{UNITS}/*/{RESULT}")):
            if not is_sealed(result.parent):
                seal_unit(self.out, result.parent.name)

    def _record(self) -> dict[str, Any]:
        return {**self.sweep.record(), "format": self.sweep.format, "identity": self.sweep.identity, "versions": [versions()],
                "study": record_of(self.sweep.config({})), "card": plain(self.sweep.method.card),
                "planned_runs": planned_settings(self.sweep) * self.sweep.space.seeds}  # fmt: skip

    def _describe(self, worlds: Worlds, console: Console) -> None:
        """Notes who judged and what the worlds are, once they are known; says what will be run."""
        prepared = worlds.of(self.sweep.config({}))
        statements = [*prepared.dataset.statements, *prepared.fit.statements, *self.sweep.decision.statements]
        judge = judge_record(prepared.table) if self.sweep.rests_on_table else None
        inputs = {"dataset": prepared.dataset.fingerprint, "table": prepared.given_table}
        found = read_json(self.out / SWEEP_FILE)
        if found.get("inputs", inputs) != inputs:
            raise InputError("the logs or the preference table are not those this sweep began with", file=self.out,
                             fix="restore them, or give --fresh to start anew")  # fmt: skip
        cautions = found.get("cautions", []) if self.sweep.has_worlds else prepared.fit.cautions
        used = found["versions"] + [versions()] * (versions() not in found["versions"])
        write_json(self.out / SWEEP_FILE, {**self._record(), "phases": PHASES, "versions": used, "inputs": inputs, "judge": judge,
                                           "statements": statements, "cautions": cautions})  # fmt: skip
        space = self.sweep.space
        console.print(f"{self.sweep.method.name}: {planned_settings(self.sweep)} settings x {space.seeds} seeds, "
                      f"{space.search.kind} search for the highest {space.objective}", highlight=False)  # fmt: skip
        for sentence in advice(space):
            console.print(f"[yellow]{sentence}[/yellow]")

    def _execute(self, worlds: Worlds, console: Console) -> None:
        """Plans and executes one round after the other."""
        planned = {one.number: one for one in load_rounds(self.out)}
        # A task of a cluster gets one GPU; a CPU's cores it gets all.
        limits = (
            replace(self.limits, devices=1) if self.engine == "ray" and self._gpus_each() else self.limits
        )
        planner = Planner(self.sweep, worlds, limits, console)
        for one in planned.values():
            planner.remember(one)
        labels = {
            number: label(setting) for one in planned.values() for number, setting in one.settings.items()
        }
        asked = rounds(self.sweep, self.out)
        with sweep_bar(console, labels) as bar:
            following = next(asked, None)
            while following is not None:
                if following.number not in planned:
                    planned[following.number] = planner.plan(following)
                    self._note_cautions(worlds, planned[following.number])
                    planned[following.number].save(self.out)
                one = planned[following.number]
                labels.update({number: label(setting) for number, setting in one.settings.items()})
                self._execute_round(one, list(planned.values()), worlds, bar)
                following = _send(asked, scores(self.sweep, self.out, one))

    def _note_cautions(self, worlds: Worlds, planned: Round) -> None:
        """Notes what a reader must know of the worlds of a round's settings, where these have worlds of their own."""
        if not self.sweep.has_worlds:
            return
        record = read_json(self.out / SWEEP_FILE)
        said: dict[str, str] = {}
        for setting in planned.settings.values():
            for caution in worlds.of(self.sweep.config(setting)).fit.cautions:
                said.setdefault(caution, f"{label(setting)}: {caution}")
        write_json(self.out / SWEEP_FILE, record | {"cautions": list(said.values())})

    def _execute_round(self, one: Round, planned: list[Round], worlds: Worlds, bar: SweepBar) -> None:
        bar.expect(self._steps(planned))
        for unit in one.units:
            if is_done(self.out, unit.name):
                bar.skip(self._unit_steps(one, unit))

        for stage in dict.fromkeys(
            unit.stage for unit in one.units
        ):  # each starts from what those before leave
            waiting = [unit for unit in one.units if unit.stage == stage and not is_done(self.out, unit.name)]
            if self.engine == "ray":
                self._execute_with_ray(one, waiting, planned, bar)
                continue
            for unit in waiting:
                bar.open(unit)
                execute_unit(self.sweep, self.out, unit.name, worlds, bar, self.limits.devices)
                self._show_best(planned, bar)

    def _execute_with_ray(self, one: Round, units: list[Unit], planned: list[Round], bar: SweepBar) -> None:
        by_name = {unit.name: unit for unit in units}

        def on_done(name: str) -> None:
            bar.skip(self._unit_steps(one, by_name[name]))
            self._show_best(planned, bar)

        run_tasks(execute_stored, self.out, list(by_name), gpus_each=self._gpus_each(), on_done=on_done)

    def _gpus_each(self) -> int:
        """One GPU per unit where this process has one: the plan was made for its memory."""
        return int(jax.devices()[0].platform == "gpu")

    def _show_best(self, planned: list[Round], bar: SweepBar) -> None:
        found: dict[int, float] = {}
        for one in planned:
            of_round = scores(self.sweep, self.out, one)
            # Of a halving only the last rung: values of different lengths of training are not compared.
            found = (of_round or found) if self.sweep.space.search.kind == "halving" else found | of_round
        known = {number: value for number, value in found.items() if not math.isnan(value)}
        if known:
            best = max(known, key=lambda number: known[number])
            bar.best(self.sweep.space.objective, best, known[best], len(found))

    def _unit_steps(self, one: Round, unit: Unit) -> int:
        config = self.sweep.config(one.settings[unit.runs[0].setting])
        return steps_of(stage_of(self.sweep, config, unit.stage), config, unit)

    def _steps(self, planned: list[Round]) -> int:
        """Steps of the rounds planned so far, and of those to come as far as they can be foreseen."""
        units = [(one, unit) for one in planned for unit in one.units]
        learning = sum(self._unit_steps(one, unit) for one, unit in units if unit.measured)
        return sum(self._unit_steps(*pair) for pair in units) + max(planned_steps(self.sweep) - learning, 0)


def write_report(sweep: Sweep, out: Path) -> dict[str, Any]:
    """Writes the tables, the page and the summary from what the units have left so far."""
    require_intact(out, KIND, [SWEEP_FILE], MEND)
    found = load_rounds(out)
    seal_again(out, KIND, write_tables(sweep, out, found))
    settings = {number: setting for one in found for number, setting in one.settings.items()}
    # Of a halving the first rung only: there all settings had the same training.
    compared = found[:1] if sweep.space.search.kind == "halving" else found
    values = {number: value for one in compared for number, value in scores(sweep, out, one).items()}
    shares, note = importance(sweep.space, [settings[number] for number in values], list(values.values()))
    if shares and sweep.space.search.kind == "halving":
        note = "Measured at the end of the first rung, where all settings had the same training."
    return write_sweep_report(out, shares, note)


def _send(asked: Rounds, found: dict[int, float]) -> Round | None:
    try:
        return asked.send(found)
    except StopIteration:
        return None
