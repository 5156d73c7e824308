"""The main job: prepare, train stage by stage, measure, report."""

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from ialp_jax.artifacts import plain, write_arrays, write_json, writing
from ialp_jax.data.dataset import Dataset
from ialp_jax.environments import Environment
from ialp_jax.folders import claimed, require_free
from ialp_jax.health import Record
from ialp_jax.methods.base import Budget, Stage, rest_on_table
from ialp_jax.methods.registry import Registered
from ialp_jax.report import print_summary, write_report
from ialp_jax.study.calibrated import told_of_users
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.deciding import decide
from ialp_jax.study.decision import UNDECIDED, open_questions, recorded
from ialp_jax.study.folder import CHECKPOINTS, CONFIG, StudyFolder
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.measure import PHASES, MethodResult
from ialp_jax.study.stages import check_chunks, stages_of
from ialp_jax.study.summaries import preference_summary, world_summary
from ialp_jax.study.table import FinishedTable, finished_table
from ialp_jax.study.training import Training
from ialp_jax.training.distributed import barrier, is_primary
from ialp_jax.training.mesh import Layout, MeshConfig, make_mesh


@dataclass(frozen=True)
class Study:
    """One study to run.

    Attributes:
        name: of the environment.
        environment: where the users come from.
        data: folder of logs, None for invented ones.
        config: everything else.
        out: folder for all results.
        resume: go on from the checkpoints in `out`.
        prefs: folder of a finished preference table; None has the content judge judge.
        mesh: the devices; it is no part of what the study is, so a run may go on on others.
        checkpoints: folder of the run states, which all processes share; None is one in `out`.
    """

    name: str
    environment: Environment
    data: Path | None
    config: StudyConfig
    out: Path
    resume: bool
    prefs: Path | None = None
    mesh: MeshConfig = MeshConfig(run=1, user=1)
    checkpoints: Path | None = None

    def run(self, console: Console) -> dict[str, Any]:
        """Runs the study and returns the summary; every file of the interface is in `out` afterwards.

        Where several processes train together each runs the whole study. The first writes what is written and says
        what is said; the others do so in a folder that is thrown away, and share its checkpoints alone.

        Raises:
            InputError: before any work, if settings do not fit each other, `out` cannot be written, or another process is
                at work there.
        """
        started = time.monotonic()
        check_chunks(self.config)
        for stages in self.methods.values():
            for stage in stages:  # users that the devices cannot share are refused
                self.layout(stage.budget)
        if is_primary():
            work = f"ialp train {self.name}, {self.config.seeds} seeds of {', '.join(entry.name for entry in self.methods)}"
            require_free(self.out, work)
            with tempfile.TemporaryDirectory() as scratch:
                study, training = self._prepared(Path(scratch), self.out, console)
                with claimed(self.out, work):
                    return study._run(training, started, console)
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as scratch:
            other, quiet = replace(self, out=Path(folder), checkpoints=self.run_states), Console(quiet=True)
            study, training = other._prepared(Path(scratch), self.out, quiet)
            return study._run(training, started, quiet)

    @property
    def run_states(self) -> Path:
        """Folder of the run states of its stages."""
        return self.checkpoints or self.out / CHECKPOINTS

    @property
    def methods(self) -> dict[Registered, tuple[Stage, ...]]:
        """The stages of every method."""
        return {entry: stages_of(entry, self.config) for entry in self.config.entries}

    def _prepared(self, scratch: Path, before: Path, console: Console) -> tuple["Study", Training]:
        """Reads the logs and the table that was given, before anything is written: neither may be fit for use.

        Whose folder it is depends on the stages, and these on what is decided by what is made of the logs: until then that
        lies in `scratch`. A study that is gone on with, in the folder `before`, has decided already.

        Returns:
            The study with what was decided in the place of auto, and what trains it.
        """
        needs_table = any(rest_on_table(stages) for stages in self.methods.values())
        if needs_table:
            self.config.preferences.check_source(finished=self.prefs is not None)
        elif self.prefs is not None:
            console.print(
                "[yellow]no method here rests on a preference table: that of --prefs is not used[/yellow]"
            )
        dataset = self.environment.dataset(self.data, self.config.data, self.name)
        _announce_dataset(self.name, dataset, self.data, console)
        finished = self._finished_table(dataset, console) if needs_table else None
        inputs = Inputs(dataset, self.config, scratch, console, finished)
        asked = open_questions(self.config, [stage for stages in self.methods.values() for stage in stages])
        earlier = recorded(before / CONFIG) if self.resume and asked else None
        inputs.decided(decide(inputs, earlier) if asked else UNDECIDED)
        for sentence in inputs.decision.statements:
            console.print(sentence, markup=False, highlight=False)
        study = replace(self, config=inputs.config)
        return study, Training(
            study.methods, inputs, console, study.run_states, lambda budget: study.layout(budget).mesh
        )

    def _run(self, training: Training, started: float, console: Console) -> dict[str, Any]:
        methods = self.methods
        folder = self._folder(training, methods)
        if is_primary():
            folder.open(self.resume, console)
        training.inputs.settle_in(self.out)
        barrier("the folder is this study's")
        self._announce(training, methods, console)
        results = training.run(self.out)
        self._write_inputs(training.inputs)
        health = {entry: training.health(stages) for entry, stages in methods.items()}
        self._write_results(results, health, training.inputs.decision.questions)
        console.print(f"prepared for these methods: {', '.join(training.inputs.made)}", markup=False)
        summary = write_report(self.out)
        folder.seal()
        print_summary(summary, console)
        console.print(f"{self.out / 'report.html'}  ({time.monotonic() - started:.0f} s)", markup=False)
        return summary

    def _finished_table(self, dataset: Dataset, console: Console) -> FinishedTable | None:
        if self.prefs is None:
            return None
        return finished_table(self.prefs, dataset, self.config.preferences, console)

    def _folder(self, training: Training, methods: dict[Registered, tuple[Stage, ...]]) -> StudyFolder:
        keys = {
            entry.name: {stage.name: training.key(stage) for stage in stages}
            for entry, stages in methods.items()
        }
        inputs = training.inputs
        return StudyFolder(
            self.out, self.name, inputs.dataset.fingerprint, inputs.given_table, self.data, self.config, keys, inputs.decision
        )  # fmt: skip

    def layout(self, budget: Budget) -> Layout:
        """How the devices share one run per seed of a stage."""
        # Who serves nobody has no users to divide: the devices lie as they do for serving.
        stream = self.config.stream(Budget.ONLINE if budget is Budget.NONE else budget)
        return Layout(self.config.seeds, make_mesh(self.mesh, self.config.seeds, stream.users, stream.pool))

    def _announce(
        self, training: Training, methods: dict[Registered, tuple[Stage, ...]], console: Console
    ) -> None:
        """Says what will be spent, and on which devices."""
        config = self.config
        stages = {training.key(stage): stage for stages in methods.values() for stage in stages}
        before = [f"{config.pretrain.steps:,} steps of {stage.name}" for stage in stages.values()
                  if stage.budget is Budget.PRETRAIN]  # fmt: skip
        console.print(
            f"budget per seed: {''.join(f'{words}, ' for words in before)}{config.online.steps:,} online steps for every "
            f"learner, {config.stream(Budget.MEASURE).steps:,} to measure a fixed policy; {config.seeds} seeds in one program"
        )  # fmt: skip
        layouts = {self.layout(stage.budget) for stage in stages.values()}
        for layout in sorted({str(layout) for layout in layouts if layout.mesh is not None}):
            console.print(layout)

    def _write_inputs(self, inputs: Inputs) -> None:
        """Writes what a report says of the users' world, and of the preference table where one was needed."""
        write_json(self.out / "world.json", world_summary(self.name, inputs))
        if inputs.has_table:
            write_json(self.out / "preferences.json", preference_summary(inputs))
            return
        with writing(self.out):  # a run before this one had methods that needed one
            (self.out / "preferences.json").unlink(missing_ok=True)

    def _write_results(
        self,
        results: dict[Registered, MethodResult],
        health: dict[Registered, list[Record]],
        questions: tuple[str, ...],
    ) -> None:
        """Writes `results.json` and `curves.npz`."""
        config = self.config
        write_json(self.out / "results.json", {
            "phases": PHASES,
            "budget": {"online_steps": config.online.steps, "seeds": config.seeds,
                       "pretrain_steps": max(result.costs.pretraining_steps for result in results.values())},
            "methods": {entry.name: {**asdict(result.costs), "per_seed": result.per_seed,
                                     "departures": result.departures, **_diverged_record(result), "health": health[entry],
                                     "card": plain(entry.card) | {"told": told_of_users(stages_of(entry, config), config, questions)}}
                        for entry, result in results.items()},
        })  # fmt: skip
        arrays = {
            f"{entry.name}/{curve}": values
            for entry, result in results.items()
            for curve, values in result.curves.items()
        }
        edges = np.linspace(0.0, config.online.steps, config.online.bins + 1)
        write_arrays(self.out / "curves.npz", {"bins": edges, **arrays})


def _diverged_record(result: MethodResult) -> dict[str, Any]:
    """What `results.json` says of the seeds that diverged; nothing where none did."""
    seeds = [{"seed": seed, **one.record()} for seed, one in enumerate(result.diverged) if one is not None]
    return {"diverged": seeds} if seeds else {}


def _announce_dataset(name: str, dataset: Dataset, data: Path | None, console: Console) -> None:
    source = (
        f"the logs in {escape(str(data))}"
        if dataset.source == "logs"
        else "[yellow]INVENTED logs (no DATA was given)[/yellow]"
    )
    console.print(f"[bold]{escape(name)}[/bold]: {dataset.num_users:,} users, {dataset.num_items:,} items, "
                  f"{dataset.num_interactions:,} interactions, from {source}")  # fmt: skip
