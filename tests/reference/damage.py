"""Damage to the files of a finished folder: found where the file is read, or without effect for a stated reason."""

import pytest

from ialp_jax.artifacts import InputError, read_json, read_manifest
from ialp_jax.preferences.table import PreferenceTable
from ialp_jax.study.folder import run_state_store
from ialp_jax.study.logged import KIND as LOGGED

PAGE = 4096
WITHOUT_EFFECT = {
    "summary.json": "for scripts; nothing here reads it, and `ialp report` makes it anew",
    "report.html": "for people; nothing here reads it, and `ialp report` makes it anew",
    ".lock": "says who was at work there last",
}
"""Names of files, and why it does not matter what is in them."""


def damages(content, places=3):
    """The content with one flipped bit, at a few places, with a page of zeros, and cut off; of nothing, something."""
    if not content:
        yield b"\0"
        return
    for part in range(places):
        at = (2 * part + 1) * len(content) // (2 * places)
        yield content[:at] + bytes([content[at] ^ (1 << (at + part) % 8)]) + content[at + 1 :]
    page = len(content) // 2 // PAGE * PAGE
    zeros = bytes(len(content[page : page + PAGE]))
    if zeros != content[page : page + PAGE]:
        yield content[:page] + zeros + content[page + PAGE :]
    yield content[: len(content) // 2]


def refusal(read):
    """The error with which some reading ends; None if it ends well."""
    try:
        read()
    except InputError as error:
        return error
    return None


def unnoticed(folder, read):
    """The damages that reading a folder does not find, or does not name the file of, as (name, number of the damage).

    Args:
        folder: a finished one; it is left as it was.
        read: reads what is read of one file, given its relative path.
    """
    missed = []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in WITHOUT_EFFECT]
    assert [path for path in files if refusal(lambda path=path: read(path.relative_to(folder)))] == []
    for path in files:
        content, name = path.read_bytes(), path.relative_to(folder)
        for number, damage in enumerate(damages(content)):
            path.write_bytes(damage)
            error = refusal(lambda name=name: read(name))
            if str(path) not in str(error):
                missed.append((str(name), number))
        path.write_bytes(content)
    return missed


def read_part(folder, name):
    """Reads what lies in a folder of a study, or of the inputs of a sweep's setting."""
    first = name.parts[0]
    if first == "preferences":
        requests = folder / "preferences" / "requests"
        PreferenceTable.load(folder / "preferences")
        read_manifest(requests, read_json(requests / "manifest.json")["kind"])
    elif first == "logged":
        read_manifest(folder / name.parent, LOGGED)
    elif first in ("dataset", "policy"):
        read_manifest(folder / first, first)
    else:
        raise AssertionError(f"nothing reads {name}")


def read_run_state(folder, name, keys):
    """Looks for the newest run state of the stage that a file is of."""
    for stage, key in keys:
        store = run_state_store(folder / "checkpoints", stage, key)
        if store._directory.name == name.parts[1]:
            assert store.latest(pytest.fail) is not None
            return
    raise AssertionError(f"nothing reads {name}")
