"""Artefacts: what is written is whole or not there, what was damaged is found."""

import errno
import json
import os

import numpy as np
import pytest
from polars.exceptions import ComputeError

from ialp_jax.artifacts import (
    InputError,
    atomic_path,
    read_arrays,
    read_json,
    read_manifest,
    write_arrays,
    write_json,
    write_manifest,
)

ARRAYS = {"a": np.arange(5, dtype=np.int32), "b/c": np.array([[0.5, -1.0]], np.float32)}


def flipped(content):
    """The content with one bit flipped, at every byte."""
    for at in range(len(content)):
        yield content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :]


def test_a_flipped_bit_of_arrays_is_found_or_without_effect(tmp_path):
    """At every byte; what zip keeps of dates and systems is without effect."""
    path = tmp_path / "a.npz"
    write_arrays(path, ARRAYS)
    content, caught = path.read_bytes(), 0
    for damage in [*flipped(content), content[:-1], content[: len(content) // 2], b""]:
        path.write_bytes(damage)
        try:
            stored = read_arrays(path)
        except InputError as error:
            assert error.file == path
            caught += 1
            continue
        assert stored.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(stored[name], array)
    assert caught > len(content) // 2


def test_a_flipped_bit_of_a_manifest_is_found(tmp_path):
    (tmp_path / "data").write_text("1")
    write_manifest(tmp_path, "thing", {"length": 4, "names": ["a"]}, {"parent": "0" * 16}, ["A statement."])
    path = tmp_path / "manifest.json"
    content = path.read_bytes()
    whole = json.loads(content)
    for damage in flipped(content):
        path.write_bytes(damage)
        try:
            read_manifest(tmp_path, "thing")
        except InputError:
            continue
        assert json.loads(damage) == whole  # white space


def test_a_manifest_of_a_version_without_seals_is_still_read(tmp_path):
    (tmp_path / "data").write_text("1")
    written = write_manifest(tmp_path, "thing", {"length": 4})
    path = tmp_path / "manifest.json"
    older = json.loads(path.read_text())
    assert older.pop("seal") == written.seal != ""
    path.write_text(json.dumps(older))
    assert read_manifest(tmp_path, "thing").files == written.files


@pytest.mark.parametrize("stored", ["[]", "3", '{"kind": "thing", "schema": 1, "files": 3}'])
def test_what_is_no_manifest_is_said_to_be_none(tmp_path, stored):
    (tmp_path / "manifest.json").write_text(stored)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_manifest(tmp_path, "thing")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_is_one_error_and_what_lay_there_stays(tmp_path, monkeypatch, code):
    write_json(tmp_path / "a.json", 1)

    def full(*_):
        raise OSError(code, os.strerror(code))

    for name in ("fsync", "replace", "mkdir"):
        with monkeypatch.context() as patch, pytest.raises(InputError, match=f"a.json.*{os.strerror(code)}"):
            patch.setattr(os, name, full)
            write_json(tmp_path / "a.json", 2)
    assert read_json(tmp_path / "a.json") == 1 and [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("error", [
    ComputeError("parquet: underlying IO error: No space left on device (os error 28)"),
    ValueError("RESOURCE_EXHAUSTED: Failed to write 440846 bytes to file 11 [os_error_code='28']\n\nmore"),
    OSError("200000 requested and 11760 written"),
])  # fmt: skip
def test_what_libraries_raise_on_a_full_disk_is_the_same_error(tmp_path, error):
    """As polars, tensorstore (below orbax) and numpy raised it on a full disk, without the system's code as errno."""
    with pytest.raises(InputError) as caught, atomic_path(tmp_path / "outer"), atomic_path(tmp_path / "a"):
        raise error
    first = str(error).splitlines()[0]
    assert caught.value.file == tmp_path / "a" and caught.value.problem == f"it cannot be written ({first})"


def test_other_errors_of_a_body_are_its_own(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        raise FileNotFoundError
    with pytest.raises(ValueError, match=r"^other$"), atomic_path(tmp_path / "a"):
        raise ValueError("other")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path)
