"""The main job: prepare, pre-train, adapt, measure, report."""

import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ialp_jax.algorithms import a2c
from ialp_jax.artifacts import InputError, fingerprint, plain, read_json, versions, write_arrays, write_json
from ialp_jax.data.dataset import Dataset
from ialp_jax.environments import Environment
from ialp_jax.policies.artifact import save_policy
from ialp_jax.report import preference_statements, print_summary, write_report
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.methods import Method, online_method, pretraining, study_runs
from ialp_jax.study.prepare import Prepared, preference_summary, prepare, world_summary
from ialp_jax.study.results import PHASES, MethodResult, measure
from ialp_jax.study.table import FinishedTable, finished_table, judge_record
from ialp_jax.training.checkpoint import CheckpointStore
from ialp_jax.training.distributed import barrier, is_primary
from ialp_jax.training.loop import Trained, train
from ialp_jax.training.mesh import Layout, MeshConfig, make_mesh
from ialp_jax.training.progress import step_bar

RESULT_FILES = ("results.json", "curves.npz", "summary.json", "report.html")
EXPORTED = "a_ialp_ft"  # one network, adapted to the users; what a deployment would take


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
        """
        if is_primary():
            return self._run(console)
        with tempfile.TemporaryDirectory() as folder:
            other = replace(self, out=Path(folder), checkpoints=self._checkpoints)
            return other._run(Console(quiet=True))

    @property
    def _checkpoints(self) -> Path:
        return self.checkpoints or self.out / "checkpoints"

    def _run(self, console: Console) -> dict[str, Any]:
        started = time.monotonic()
        self.config.check_chunks()
        layouts = {self._layout(config) for config in (self.config.pretrain, self.config.online)}
        self.config.preferences.check_source(finished=self.prefs is not None)
        dataset = self.environment.dataset(self.data, self.config.data, self.name)
        _announce_dataset(self.name, dataset, self.data, console)
        # Before the folder is opened: a table that may not be used must not cost an earlier run's results.
        finished = self._finished_table(dataset, console)
        if is_primary():
            self._open(dataset.fingerprint, None if finished is None else finished.content, console)
        barrier("the folder is this study's")
        prepared = prepare(dataset, self.config, self.out, console, finished)
        write_json(self.out / "world.json", world_summary(self.name, prepared, self.config))
        write_json(self.out / "preferences.json", preference_summary(prepared))
        self._announce(layouts, console)
        runs = study_runs(self.config)
        pretrained = None
        if self.config.pretrains:
            method = pretraining(prepared, self.config, runs)
            pretrained = self._train(
                "iALP pre-training", "pretraining", method, prepared.llm_world, console
            ).run.params
        results: dict[str, MethodResult] = {}
        for name in self.config.methods:
            method = online_method(name, prepared, self.config, runs, pretrained)
            trained = self._train(name, name, method, prepared.world, console)
            results[name] = measure(method, trained, prepared, self.config)
            if name == EXPORTED:
                self._export(trained, prepared)
        self._write_results(results)
        summary = write_report(self.out)
        print_summary(summary, console)
        console.print(f"{self.out / 'report.html'}  ({time.monotonic() - started:.0f} s)")
        return summary

    def _finished_table(self, dataset: Dataset, console: Console) -> FinishedTable | None:
        if self.prefs is None:
            return None
        return finished_table(self.prefs, dataset, self.config.preferences, console)

    def _open(self, dataset: str, table: str | None, console: Console) -> None:
        """Makes `out` this study's: checks what lies there when resuming, clears an earlier run when not."""
        path = self.out / "config.json"
        identity = {
            "environment": self.name, "dataset": dataset, "table": table,
            "study": plain(self.config) | {"loop": {"chunk": self.config.loop.chunk}},
        }  # fmt: skip
        record = {"fingerprint": fingerprint(identity), **plain(identity), "versions": versions(),
                  "data": None if self.data is None else str(self.data.resolve()),
                  "devices": [device.device_kind for device in jax.devices()]}  # fmt: skip
        if self.resume and path.exists():
            found = read_json(path)
            if found.get("fingerprint") != record["fingerprint"]:
                raise InputError(f"the run in this folder has another configuration ({_differences(found, record)})",
                                 file=path, fix="resume with the same settings, or leave RESUME out to start anew",
                                 )  # fmt: skip
            if found.get("versions") != record["versions"]:
                console.print("[yellow]other versions of the packages than when this run began: what follows is the same "
                              "study, but not bitwise the uninterrupted one[/yellow]")  # fmt: skip
            return
        self._refuse_strangers(path)
        if self.resume:
            console.print(f"[yellow]{self.out} holds no run to resume; starting one[/yellow]")
        elif path.exists():
            console.print(
                f"[yellow]{self.out} holds an earlier run; starting anew (RESUME=1 would go on)[/yellow]"
            )
        CheckpointStore(self._checkpoints).clear()
        for name in RESULT_FILES:  # an interrupted new run must not lie beside an old one's results
            (self.out / name).unlink(missing_ok=True)
        if (self.out / "policy").exists():
            shutil.rmtree(self.out / "policy")
        write_json(path, record)

    def _refuse_strangers(self, config: Path) -> None:
        """What a study would clear or overwrite, in a place where no study has been, is somebody else's."""
        found = read_json(config) if config.exists() else None
        if isinstance(found, dict) and {"fingerprint", "study"} <= found.keys():
            return
        strangers = [name for name in (config.name, "checkpoints", "policy") if (self.out / name).exists()]
        if strangers:
            raise InputError(f"holds {strangers[0]!r}, which no study wrote", file=self.out,
                             fix="give an empty or a new folder as OUT")  # fmt: skip

    def _layout(self, config: a2c.Config) -> Layout:
        """How the devices share one run per seed of this shape."""
        return Layout(self.config.seeds, make_mesh(self.mesh, self.config.seeds, config.users, config.pool))

    def _announce(self, layouts: set[Layout], console: Console) -> None:
        config = self.config
        before = (
            f"{config.pretrain.steps:,} pre-training steps in the LLM's world, " if config.pretrains else ""
        )
        console.print(
            f"budget per seed: {before}{config.online.steps:,} online steps for every learner, "
            f"{config.fixed().steps:,} to measure a fixed policy; {config.seeds} seeds in one program"
        )
        for layout in sorted({str(layout) for layout in layouts if layout.mesh is not None}):
            console.print(layout)

    def _train(self, label: str, stage: str, method: Method, world: Any, console: Console) -> Trained:
        """One stage of training; a finished one is read back from its checkpoint."""
        with step_bar(label, console) as watch:
            return train(
                method.algorithm, method.start, method.hyper, world, self.config.loop,
                self._checkpoints / stage, watch, method.hyper_axis, mesh=self._layout(method.algorithm.config).mesh,
            )  # fmt: skip

    def _export(self, trained: Trained, prepared: Prepared) -> None:
        """Writes the first seed's adapted policy as an artefact that loads without the trainer."""
        params = jax.tree.map(lambda leaf: np.asarray(leaf[0]), trained.run.params)
        said = judge_record(prepared.table) | {"statements": prepared.completed.statements}
        statements = [
            *preference_statements(said),
            f"Trained by {EXPORTED}, seed 0, on {prepared.dataset.source}.",
        ]
        save_policy(self.out / "policy", params, self.config.policy, prepared.dataset.items,
                    self.config.data.history_length, statements)  # fmt: skip

    def _write_results(self, results: dict[str, MethodResult]) -> None:
        """Writes `results.json` and `curves.npz`."""
        config = self.config
        write_json(self.out / "results.json", {
            "phases": PHASES,
            "budget": {"online_steps": config.online.steps, "seeds": config.seeds, "pretrain_steps": config.pretrain.steps if config.pretrains else 0},
            "methods": {name: {"online_steps": result.online_steps, "judgements": result.judgements,
                               "llm_calls": result.llm_calls, "per_seed": result.per_seed, "departures": result.departures}
                        for name, result in results.items()},
        })  # fmt: skip
        arrays = {
            f"{name}/{curve}": values
            for name, result in results.items()
            for curve, values in result.curves.items()
        }
        edges = np.linspace(0.0, config.online.steps, config.online.bins + 1)
        write_arrays(self.out / "curves.npz", {"bins": edges, **arrays})


def _announce_dataset(name: str, dataset: Dataset, data: Path | None, console: Console) -> None:
    source = (
        f"the logs in {data}"
        if dataset.source == "logs"
        else "[yellow]INVENTED logs (no DATA was given)[/yellow]"
    )
    console.print(f"[bold]{name}[/bold]: {dataset.num_users:,} users, {dataset.num_items:,} items, "
                  f"{dataset.num_interactions:,} interactions, from {source}")  # fmt: skip


def _differences(found: dict[str, Any], record: dict[str, Any]) -> str:
    """Dotted names of the settings that differ."""
    names = []

    def compare(prefix: str, left: Any, right: Any) -> None:
        if isinstance(left, dict) and isinstance(right, dict):
            for name in sorted({*left, *right}):
                compare(f"{prefix}.{name}" if prefix else name, left.get(name), right.get(name))
        elif left != right:
            names.append(prefix)

    keys = ("environment", "dataset", "table", "study")
    compare("", {key: found.get(key) for key in keys}, {key: record.get(key) for key in keys})
    return ", ".join(names) or "another version of this file"
