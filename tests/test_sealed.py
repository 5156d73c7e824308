"""Hashes of finished results: what was altered is refused by name, what goes on takes them off, what has none is read."""

import pytest

from ialp_jax.artifacts import InputError, load_manifest
from ialp_jax.sealed import is_sealed, require_intact, seal, seal_again, unseal

NAMES = ("a", "b", "c")


@pytest.fixture
def folder(tmp_path):
    """Two finished files of three, and one of somebody else."""
    for name in ("a", "b", "stranger"):
        (tmp_path / name).write_text(name)
    seal(tmp_path, "thing", {"length": 4}, NAMES, {"dataset": "0" * 16})
    return tmp_path


def intact(folder, *names):
    require_intact(folder, "thing", names or NAMES, "mend it")


def test_what_was_altered_is_refused_with_its_fix_where_it_is_read(folder):
    intact(folder)
    (folder / "a").write_text("A")
    with pytest.raises(InputError, match=r"/a: .*altered.* Fix: mend it"):
        intact(folder)
    intact(folder, "b", "c")


def test_files_without_a_hash_and_files_that_are_gone_are_their_readers_matter(folder):
    (folder / "c").write_text("younger")
    (folder / "stranger").write_text("another")
    (folder / "b").unlink()
    intact(folder, *NAMES, "stranger")


def test_new_hashes_are_of_the_named_files_alone(folder):
    for name in NAMES:
        (folder / name).write_text("anew")
    seal_again(folder, "thing", ["b", "c", "nowhere"])
    intact(folder, "b", "c")
    assert load_manifest(folder, "thing").parents == {"dataset": "0" * 16}
    with pytest.raises(InputError, match="/a: "):
        intact(folder)


def test_a_damaged_manifest_or_another_kinds_is_refused(folder):
    with pytest.raises(InputError, match="'other'"):
        require_intact(folder, "other", NAMES, "mend it")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("0000", "0001"))
    for refused in (lambda: intact(folder, "c"), lambda: seal_again(folder, "thing", ["a"])):
        with pytest.raises(InputError, match=r"manifest\.json.*altered.*or delete it: it holds hashes alone"):
            refused()


def test_what_has_no_hashes_is_read_and_gets_none_by_the_way(folder):
    unseal(folder)
    unseal(folder)
    (folder / "a").write_text("A")
    intact(folder)
    seal_again(folder, "thing", NAMES)
    assert not is_sealed(folder)
