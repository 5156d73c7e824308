"""Files every stage writes: atomic, fingerprinted, each beside a manifest that names its parents.

Host only. How a stage's output is written (to a temporary name, then renamed), and recognised as still valid.
"""

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ialp_jax.durable import publish, says_unwritable, workspace
from ialp_jax.installed import versions

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
_KINDS: dict[str, Any] = {"kind": str, "fingerprint": str, "config": dict | list, "parents": dict, "statements": list, "files": dict, "versions": dict,
          "schema": int, "seal": str}  # fmt: skip
# What a damaged .npz makes numpy and zipfile raise; an encrypted or an unknown kind of entry is a RuntimeError.
_UNREADABLE = (ValueError, OSError, EOFError, zipfile.BadZipFile, RuntimeError, KeyError)

Value = bool | int | float | str | tuple[Any, ...] | None
"""What a field of a configuration can hold."""


class InputError(ValueError):
    """Input the user can mend. The message names the place and the fix; the CLI prints it without a traceback."""

    def __init__(
        self, problem: str, *, fix: str, file: str | Path | None = None, row: int | None = None, column: str | None = None
    ) -> None:  # fmt: skip
        self.problem, self.fix, self.file, self.row, self.column = problem, fix, file, row, column
        places = [("file", file), ("row", row), ("column", column)]
        where = ", ".join(f"{name} {value}" for name, value in places if value is not None)
        super().__init__(f"{where + ': ' if where else ''}{problem}. Fix: {fix}")

    def in_file(self, file: str | Path | None) -> "InputError":
        """The same error, in a file where it names none yet."""
        return InputError(
            self.problem, fix=self.fix, file=self.file or file, row=self.row, column=self.column
        )


@dataclass(frozen=True)
class Manifest:
    """What a stage wrote, and from what.

    Attributes:
        kind: the stage's name, for example "dataset", "world", "preferences".
        fingerprint: hash of the stage's inputs (configuration and parents); equal fingerprints mean reuse.
        config: the stage's configuration, as plain JSON values.
        parents: fingerprints of the artefacts this one was made from, by kind.
        statements: sentences a reader of any later report must see (for example "the judge is not an LLM").
        files: SHA-256 of every file of the artefact, by relative path.
        versions: package and Python versions that wrote it.
        schema: version of this layout.
        seal: hash of all of the above; "" where an earlier version wrote none.
    """

    kind: str
    fingerprint: str
    config: dict[str, Any]
    parents: dict[str, str] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION
    seal: str = ""

    def sealed(self) -> "Manifest":
        """The same with its seal."""
        return replace(self, seal=fingerprint(replace(self, seal="")))


def plain(value: Any) -> Any:
    """Turns dataclasses, paths, tuples and NumPy scalars into plain JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    return value


def fingerprint(*values: Any) -> str:
    """SHA-256 (first 16 hex digits) of values in canonical JSON; equal values give equal fingerprints."""
    text = json.dumps(plain(list(values)), sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`; renames it (file or directory) onto `target` on success only.

    It lies on the disk before it gets that name: after a loss of power `target` is the old one or the whole new one.

    Raises:
        InputError: if the disk is full, or nothing may be written there.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with workspace(target) as folder:
            temporary = folder / target.name
            yield temporary
            publish(temporary, target, folder)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turns what a system says where `target` cannot be written into one `InputError`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or not says_unwritable(error):
            raise
        raise InputError(f"it cannot be written ({_first_line(error)})", file=target,
                         fix="make room, or name a place that may be written to, and run again") from error  # fmt: skip


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def json_text(value: Any, indent: int | None = None, ensure_ascii: bool = True) -> str:
    """`value` as JSON that every reader takes: a measured number that is NaN or infinite is null, "there is no value"."""
    return json.dumps(sayable(plain(value)), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def sayable(value: Any, words: Callable[[float], Any] = lambda _: None) -> Any:
    """Plain values with `words` for the floats that JSON cannot say: NaN and infinity."""
    if isinstance(value, dict):
        return {key: sayable(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [sayable(item, words) for item in value]
    return words(value) if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinity as null (see `json_text`)."""
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises `InputError` naming the file where it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise InputError(f"it cannot be read ({error.strerror})", file=path,
                         fix="give the place of a file that can be read") from error  # fmt: skip
    except (ValueError, RecursionError) as error:  # thousands of brackets are too deep
        raise InputError(f"not valid JSON ({error})", file=path, fix="delete it and run again") from error


def _missing(path: Path) -> InputError:
    return InputError("the file does not exist", file=path, fix="run the step that writes it first")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays as one `.npz`, atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads a `.npz` written by `write_arrays`; pickled objects are refused."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
            stream.seek(-12, os.SEEK_END)  # their number; zipfile may pass over one where a length is damaged
            if int.from_bytes(stream.read(2), "little") != len(arrays):
                raise ValueError("an entry is missing")
            return arrays
    except FileNotFoundError:
        raise _missing(path) from None
    except _UNREADABLE as error:
        raise InputError(f"not a readable .npz ({error})", file=path,
                         fix="delete it and run again") from error  # fmt: skip


def write_manifest(
    directory: Path,
    kind: str,
    config: Any,
    parents: Mapping[str, str] | None = None,
    statements: list[str] | None = None,
    names: Collection[str] | None = None,
) -> Manifest:
    """Hashes the files of `directory` and writes its manifest; call it last, inside `atomic_path` where all are new.

    Of `names` those that are there; of all, hidden ones are left out: they are half written, or somebody is at work there.
    """
    parents = dict(parents or {})
    paths = _finished_files(directory) if names is None else [directory / name for name in sorted(names)]
    files = {str(path.relative_to(directory)): hash_file(path) for path in paths if path.is_file()}
    manifest = Manifest(
        kind, fingerprint(kind, SCHEMA_VERSION, config, parents), plain(config), parents, list(statements or []),
        files, versions(),
    ).sealed()  # fmt: skip
    write_json(directory / MANIFEST_NAME, manifest)
    return manifest


def _finished_files(directory: Path) -> list[Path]:
    found = []
    # os.walk passes over a folder that vanishes while it looks; Path.rglob raises.
    for root, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root) / name for name in names if name != MANIFEST_NAME and not name.startswith(".")]
    return sorted(found)


def load_manifest(directory: Path, kind: str) -> Manifest:
    """Reads a manifest: its kind, schema and fingerprint are right; of the files it names nothing is read.

    Raises:
        InputError: naming the file that is missing, altered or of another kind.
    """
    path = directory / MANIFEST_NAME
    stored = read_json(path)
    said = stored if isinstance(stored, dict) else {}
    if said.get("kind") != kind or said.get("schema") != SCHEMA_VERSION:
        found = f"{said.get('kind')!r}, schema {said.get('schema')}"
        raise InputError(f"expected a {kind!r} artefact of schema {SCHEMA_VERSION}, found {found}",
                         file=path, fix=f"point to a {kind} directory, or make it again")  # fmt: skip
    altered = InputError("the file was altered after it was written", file=path,
                         fix="delete the directory and make it again")  # fmt: skip
    statements = stored.get("statements", [])
    fitting = _KINDS.keys() >= stored.keys() >= {"fingerprint", "config"} and all(
        isinstance(value, _KINDS[name]) for name, value in stored.items()
    )
    if not fitting or not all(isinstance(sentence, str) for sentence in statements):
        raise altered
    manifest = Manifest(**stored)
    if manifest.fingerprint != fingerprint(kind, SCHEMA_VERSION, manifest.config, manifest.parents):
        raise altered
    if manifest.seal not in ("", manifest.sealed().seal):
        raise altered
    return manifest


def read_manifest(directory: Path, kind: str, closed: bool = False) -> Manifest:
    """Reads and verifies a manifest: kind, schema, and that every named file still has its hash.

    Args:
        directory: of the artefact.
        kind: that it must have.
        closed: nothing else may lie there, and no links.

    Raises:
        InputError: naming the file that is missing, altered, of another kind, or does not belong there.
    """
    manifest = load_manifest(directory, kind)
    if closed:
        _refuse_strangers(directory, manifest)
    require_unaltered(directory, manifest.files, "delete the directory and make it again")
    return manifest


def require_unaltered(directory: Path, hashes: Mapping[str, str], fix: str) -> None:
    """Raises `InputError`, with this fix, naming the first file that is missing or has another hash."""
    for name, digest in hashes.items():
        if not (directory / name).is_file() or hash_file(directory / name) != digest:
            raise InputError("the file is missing or was altered after it was written",
                             file=directory / name, fix=fix)  # fmt: skip


def _refuse_strangers(directory: Path, manifest: Manifest) -> None:
    """Raises `InputError` where a folder holds links, or files that its manifest does not name."""
    for root, folders, names in os.walk(directory):
        for name in [*folders, *names]:
            path = Path(root) / name
            entry = str(path.relative_to(directory))
            if path.is_symlink() or (name in names and entry not in (*manifest.files, MANIFEST_NAME)):
                what = "a link" if path.is_symlink() else "a file that its manifest does not name"
                raise InputError(f"it is {what}", file=path, fix="delete the directory and make it again")
