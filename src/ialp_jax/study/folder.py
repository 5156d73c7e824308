"""A study's folder: whose it is, what an earlier run left there, and when that may be gone on with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from ialp_jax.artifacts import MANIFEST_NAME, InputError, plain, read_json, write_json, writing
from ialp_jax.durable import remove_abandoned, remove_leftovers, remove_tree
from ialp_jax.folders import set_aside
from ialp_jax.installed import versions
from ialp_jax.report.inputs import KIND, MEND, READ, WRITTEN
from ialp_jax.sealed import require_intact, seal, unseal
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.decision import ENTRY, UNDECIDED, Decision
from ialp_jax.study.fields import record_of
from ialp_jax.training.checkpoint import CheckpointStore

RESULT_FILES = ("results.json", "curves.npz", "summary.json", "report.html")
CONFIG, CHECKPOINTS, POLICY = "config.json", "checkpoints", "policy"
OTHER_FILES = tuple(name for name in (*READ, *WRITTEN) if name != CONFIG)
INPUTS = ("dataset", "preferences", "logged")
"""Folders of what the stages read."""
Keys = dict[str, dict[str, str]]
"""The key of every stage by method and stage."""
SAME = ("environment", "dataset", "table", "study", "stages")
"""What two records of one study agree in; who computes it and with which packages is no part of it."""


def run_state_store(run_states: Path, stage: str, key: str) -> CheckpointStore:
    """Where the run states of a stage are kept, in the folder of those of all stages."""
    return CheckpointStore(run_states / f"{stage.lower().replace(' ', '-')}-{key[:8]}", key)


@dataclass(frozen=True)
class StudyFolder:
    """What is to be run in a folder.

    Attributes:
        out: the folder.
        environment: name of the environment.
        dataset: fingerprint of the logs.
        table: of a preference table that was made beforehand; None without one.
        data: folder of the logs, for a reader.
        config: the study.
        keys: of its stages. A folder is the set of them: a method may be added, and its stages alone are then run.
        decision: by which the study has values where auto was asked for.
    """

    out: Path
    environment: str
    dataset: str
    table: str | None
    data: Path | None
    config: StudyConfig
    keys: Keys
    decision: Decision = UNDECIDED

    def open(self, resume: bool, console: Console) -> None:
        """Makes the folder this study's: checks what lies there when resuming, makes room when not.

        An earlier run of the same study is cleared; what another study left is moved to a folder beside this one.

        Raises:
            InputError: if another study is to be resumed, or no study wrote what lies there.
        """
        with writing(self.out):
            self._open(resume, console)

    def seal(self) -> None:
        """Notes the hashes of all that lies here now that it is finished; who opens the folder takes them away."""
        parents = {"dataset": self.dataset} | ({} if self.table is None else {"table": self.table})
        seal(
            self.out, KIND, {"environment": self.environment, "stages": self.keys}, (*READ, *WRITTEN), parents
        )

    def _open(self, resume: bool, console: Console) -> None:
        path = self.out / CONFIG
        remove_abandoned(self.out)
        for name in (CHECKPOINTS, POLICY, *INPUTS):
            remove_leftovers(self.out / name)
        if resume and path.exists():
            require_intact(self.out, KIND, [CONFIG], f"{MEND}; without --resume all is trained anew")
            self._go_on(path, console)
            return
        self._refuse_strangers(path)
        if resume:
            console.print(f"{self.out} holds no run to resume; starting one", style="yellow", markup=False)
        elif path.exists():
            self._make_room(read_json(path), console)
        unseal(self.out)
        for name in OTHER_FILES:  # an interrupted new run must not lie beside an old one's results
            (self.out / name).unlink(missing_ok=True)
        for name in (CHECKPOINTS, POLICY):
            remove_tree(self.out / name)
        write_json(path, self._record(self.keys))

    def _make_room(self, stored: dict[str, Any], console: Console) -> None:
        """Says what becomes of an earlier run's results; moves them away if they are another study's."""
        record = self._record(self.keys)
        same = all(stored.get(name) == record[name] for name in SAME)
        if same or not any((self.out / name).exists() for name in (*RESULT_FILES, CHECKPOINTS, POLICY)):
            console.print(f"{self.out} holds an earlier run; starting anew (RESUME=1 would go on)",
                          style="yellow", markup=False)  # fmt: skip
            return
        aside = set_aside(self.out)
        console.print(f"{self.out} held another study ({_difference(stored, record)}); it was moved to {aside}, and this one "
                      "starts anew", style="yellow", markup=False)  # fmt: skip

    def _record(self, keys: Keys) -> dict[str, Any]:
        study = record_of(self.config) | {"loop": {"chunk": self.config.loop.chunk}}
        references = {
            entry.name: reference
            for entry, reference in zip(self.config.entries, self.config.methods, strict=True)
        }
        return plain({
            "methods": references, "environment": self.environment, "dataset": self.dataset, "table": self.table, "study": study,
            "stages": keys, "run_states": "hashed", "versions": versions(), "data": None if self.data is None else str(self.data.resolve()),
            "devices": [device.device_kind for device in jax.devices()],
        } | self.decision.record())  # fmt: skip

    def _go_on(self, path: Path, console: Console) -> None:
        stored = read_json(path)
        if isinstance(stored, dict) and "stages" not in stored:
            raise InputError("the run in this folder was made by an earlier version", file=path,
                             fix="finish it with that version, or leave RESUME out to start anew")  # fmt: skip
        if not _is_record(stored):
            raise InputError("it is no whole record of a run", file=path,
                             fix="put back a copy of it, or leave RESUME out to start anew")  # fmt: skip
        before, record = stored["stages"], self._record(self.keys)
        changed = [name for name, keys in self.keys.items() if before.get(name, keys) != keys]
        if stored["environment"] != self.environment or stored["dataset"] != self.dataset or changed:
            raise InputError(
                f"the run in this folder has another configuration ({differences(stored, record, changed)})",
                file=path, fix="resume with the same settings, or leave RESUME out to start anew",
            )  # fmt: skip
        if stored["versions"] != record["versions"]:
            console.print("[yellow]other versions of the packages than when this run began: what follows is the same "
                          "study, but not bitwise the uninterrupted one[/yellow]")  # fmt: skip
        unhashed = "run_states" not in stored
        if unhashed:
            self._adopt(before, console)
        added = [name for name in self.keys if name not in before]
        if added:
            console.print(f"added to the run in this folder: {', '.join(added)}")
        unseal(self.out)
        if any(stored.get(name) != record.get(name) for name in ("study", ENTRY)) or added or unhashed:
            write_json(path, self._record(before | self.keys))

    def _adopt(self, keys: Keys, console: Console) -> None:
        """Takes the run states of a version that kept no hashes as they are, once; whose they are, the record says."""
        stages = {(stage, key) for of_method in keys.values() for stage, key in of_method.items()}
        if any([run_state_store(self.out / CHECKPOINTS, *stage).adopt() for stage in sorted(stages)]):
            console.print("[yellow]the run states in this folder were written without hashes, by an earlier version: they are "
                          "taken as they are, and guarded from now on[/yellow]")  # fmt: skip

    def _refuse_strangers(self, config: Path) -> None:
        """What a study would clear or overwrite, in a place where no study has been, is somebody else's."""
        stored = read_json(config) if config.exists() else None
        if isinstance(stored, dict) and {"environment", "study"} <= stored.keys():
            return
        strangers = [
            name for name in (CONFIG, CHECKPOINTS, POLICY, MANIFEST_NAME) if (self.out / name).exists()
        ]
        if strangers:
            raise InputError(f"holds {strangers[0]!r}, which no study wrote", file=self.out,
                             fix="give an empty or a new folder as OUT")  # fmt: skip


def _is_record(stored: Any) -> bool:
    """Whether what a file holds is what `StudyFolder` records, as far as is read of it."""
    kinds = {"environment": str, "dataset": str, "study": dict, "stages": dict, "versions": dict}
    if not isinstance(stored, dict) or not all(
        isinstance(stored.get(name), kind) for name, kind in kinds.items()
    ):
        return False
    keyed = all(
        isinstance(keys, dict) and all(isinstance(key, str) for key in keys.values())
        for keys in stored["stages"].values()
    )
    return keyed and isinstance(stored["study"].get("options"), dict)


def _difference(stored: dict[str, Any], record: dict[str, Any]) -> str:
    """In what a study that lies in a folder differs from the one to be run, in words."""
    if "stages" not in stored:
        return "of an earlier version"
    if not _is_record(stored):
        return "whose record is damaged"
    before, now = stored["stages"], record["stages"]
    if before.keys() != now.keys():
        return f"of {', '.join(before)}"
    return differences(stored, record, [name for name, keys in now.items() if before[name] != keys])


def differences(stored: dict[str, Any], record: dict[str, Any], changed: list[str]) -> str:
    """Dotted names of the settings in which two records differ.

    Args:
        stored: what lies in the folder.
        record: what is to be run.
        changed: methods whose stages have other keys; options of others are left out.
    """
    names, younger = [], []

    def compare(prefix: str, left: Any, right: Any) -> None:
        if isinstance(left, dict) and isinstance(right, dict):
            for name in sorted({*left, *right}):
                compare(f"{prefix}.{name}" if prefix else name, left.get(name, _MISSING), right.get(name))
        elif left is _MISSING:
            younger.append(prefix)
        elif left != right:
            names.append(prefix)

    keys = ("environment", "dataset", "table")
    compare("", {key: stored.get(key) for key in keys}, {key: record.get(key) for key in keys})
    left, right = ({name: value for name, value in one["study"].items() if name not in ("methods", "options")}
                   for one in (stored, record))  # fmt: skip
    compare("study", left, right)
    both = stored["study"]["options"].keys() & record["study"]["options"].keys()
    compare("study.methods", {name: stored["study"]["options"][name] for name in both},
            {name: record["study"]["options"][name] for name in both})  # fmt: skip
    return ", ".join(names or younger) or f"another version of {', '.join(changed)}"


_MISSING = object()  # of a setting that is younger than the folder: named only where nothing else differs
