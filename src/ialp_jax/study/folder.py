"""A study's folder: whose it is, what an earlier run left there, and when that may be gone on with."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.markup import escape

from ialp_jax.artifacts import InputError, plain, read_json, versions, write_json
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import record_of
from ialp_jax.training.checkpoint import CheckpointStore

RESULT_FILES = ("results.json", "curves.npz", "summary.json", "report.html")
CONFIG, CHECKPOINTS, POLICY = "config.json", "checkpoints", "policy"
Keys = dict[str, dict[str, str]]
"""The key of every stage by method and stage."""


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
    """

    out: Path
    environment: str
    dataset: str
    table: str | None
    data: Path | None
    config: StudyConfig
    keys: Keys

    def open(self, resume: bool, console: Console) -> None:
        """Makes the folder this study's: checks what lies there when resuming, clears an earlier run when not.

        Raises:
            InputError: if what lies there is another study, or no study wrote it.
        """
        path = self.out / CONFIG
        if resume and path.exists():
            self._go_on(path, console)
            return
        self._refuse_strangers(path)
        if resume:
            console.print(f"[yellow]{escape(str(self.out))} holds no run to resume; starting one[/yellow]")
        elif path.exists():
            console.print(
                f"[yellow]{escape(str(self.out))} holds an earlier run; starting anew (RESUME=1 would go on)[/yellow]"
            )
        CheckpointStore(self.out / CHECKPOINTS).clear()
        for name in RESULT_FILES:  # an interrupted new run must not lie beside an old one's results
            (self.out / name).unlink(missing_ok=True)
        if (self.out / POLICY).exists():
            shutil.rmtree(self.out / POLICY)
        write_json(path, self._record(self.keys))

    def _record(self, keys: Keys) -> dict[str, Any]:
        study = record_of(self.config) | {"loop": {"chunk": self.config.loop.chunk}}
        references = {
            entry.name: reference
            for entry, reference in zip(self.config.entries, self.config.methods, strict=True)
        }
        return plain({
            "methods": references, "environment": self.environment, "dataset": self.dataset, "table": self.table, "study": study,
            "stages": keys, "versions": versions(), "data": None if self.data is None else str(self.data.resolve()),
            "devices": [device.device_kind for device in jax.devices()],
        })  # fmt: skip

    def _go_on(self, path: Path, console: Console) -> None:
        stored = read_json(path)
        if not isinstance(stored, dict) or "stages" not in stored:
            raise InputError("the run in this folder was made by an earlier version", file=path,
                             fix="finish it with that version, or leave RESUME out to start anew")  # fmt: skip
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
        added = [name for name in self.keys if name not in before]
        if added:
            console.print(f"added to the run in this folder: {', '.join(added)}")
        if stored["study"] != record["study"] or added:
            write_json(path, self._record(before | self.keys))

    def _refuse_strangers(self, config: Path) -> None:
        """What a study would clear or overwrite, in a place where no study has been, is somebody else's."""
        stored = read_json(config) if config.exists() else None
        if isinstance(stored, dict) and {"environment", "study"} <= stored.keys():
            return
        strangers = [name for name in (CONFIG, CHECKPOINTS, POLICY) if (self.out / name).exists()]
        if strangers:
            raise InputError(f"holds {strangers[0]!r}, which no study wrote", file=self.out,
                             fix="give an empty or a new folder as OUT")  # fmt: skip


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
