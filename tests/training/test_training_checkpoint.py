"""Checkpoints: what was stored comes back, and only what is whole, unaltered and one's own counts."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.training import checkpoint
from ialp_jax.training.checkpoint import CheckpointStore

OLDER, NEWER = "0000000002", "0000000004"


def state(offset=0.0):
    """Leaves of every kind a run state has."""
    return {
        "floats": jnp.arange(6.0).reshape(2, 3) + offset,
        "count": jnp.int32(7),
        "flags": jnp.array([True, False]),
        "key": jax.random.split(jax.random.key(3), 2),
        "empty": (jnp.zeros((2, 0), jnp.int32), ()),
        "tiny": jnp.float32(np.nextafter(np.float32(1), np.float32(2))),
    }


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def store_in(folder):
    return CheckpointStore(folder, "mine")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A store of two checkpoints, which tests copy."""
    folder = tmp_path_factory.mktemp("pair") / "store"
    store_in(folder).save(1, state())
    store = store_in(folder)
    assert store.latest(pytest.fail) == 1
    store.save(2, state())
    store.save(4, state(1.0))
    return folder


@pytest.fixture
def folder(pair, tmp_path):
    shutil.copytree(pair, tmp_path / "store")
    return tmp_path / "store"


def assert_passed_over(folder, reason):
    """The newer checkpoint is not taken but named, and the older one is, whole."""
    said = []
    assert store_in(folder).latest(said.append) == 2
    assert (
        len(said) == 1 and NEWER in said[0] and reason in said[0] and f"is taken: {folder / OLDER}" in said[0]
    )


def test_every_kind_of_leaf_comes_back_to_the_bit(tmp_path):
    store = store_in(tmp_path / "run")
    store.save(4, state())
    same(store.restore(4, jax.tree.map(lambda leaf: leaf, state(offset=5.0))), state())


def test_the_newest_two_are_kept_and_what_a_killed_save_left_is_removed(folder):
    assert sorted(path.name for path in folder.iterdir()) == [OLDER, NEWER]
    half = folder / ".0000000010.saving" / "0000000010.orbax-checkpoint-tmp-17"
    half.mkdir(parents=True)
    (half / "half").write_text("written")
    store = store_in(folder)
    assert store.latest(pytest.fail) == 4
    store.save(6, state(2.0))
    assert sorted(path.name for path in folder.iterdir()) == [NEWER, "0000000006"]
    same(store.restore(6, state()), state(2.0))
    same(store.restore(4, state()), state(1.0))


def test_what_a_kill_leaves_of_a_workspace_is_removed_by_the_next_save(folder, monkeypatch):
    """The kill comes while the finished save's own folder is removed."""

    remove = shutil.rmtree

    def killed(path, *more, **options):
        if ".0000000006.saving" in os.path.basename(path):
            raise KeyboardInterrupt
        remove(path, *more, **options)

    store = store_in(folder)
    assert store.latest(pytest.fail) == 4
    with monkeypatch.context() as dying:
        dying.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            store.save(6, state())
    assert "0000000006" in os.listdir(folder)
    store = store_in(folder)
    assert store.latest(pytest.fail) == 6
    store.save(8, state())
    assert sorted(os.listdir(folder))[-2:] == ["0000000006", "0000000008"]
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert store_in(tmp_path / "nowhere").latest(pytest.fail) is None


def test_the_same_number_can_be_saved_again(folder):
    store = store_in(folder)
    store.save(4, state(3.0))
    same(store.restore(4, state()), state(3.0))


def every_file(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_any_flipped_bit_and_zeroed_page_is_found_or_has_no_effect(folder):
    """In every file, at some thirty places; of the manifest at every third byte, where white space is of no effect."""
    original = folder / NEWER
    for path in every_file(original):
        content = path.read_bytes()
        places = range(0, len(content), 3 if path.name == "manifest.json" else max(1, len(content) // 30))
        damages = [content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :] for at in places]
        for damage in [
            *damages,
            bytes(len(content)),
            content[:-1],
            content[: len(content) // 2],
            content + b"\0",
        ]:
            if damage == content:
                continue
            path.write_bytes(damage)
            said = []
            number = store_in(folder).latest(said.append)
            if number == 4:
                assert path.name == "manifest.json" and not said and json.loads(damage) == json.loads(content)
            else:
                assert number == 2 and NEWER in said[0]
        path.write_bytes(content)
    assert store_in(folder).latest(pytest.fail) == 4


def test_a_missing_file_is_found(folder):
    """Among them the mark that orbax writes when it is done, and the manifest."""
    files = every_file(folder / NEWER)
    assert {"commit_success.txt", "manifest.json", "_METADATA"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        path.unlink()
        assert_passed_over(folder, NEWER)
        path.write_bytes(content)


def test_links_and_strangers_in_a_checkpoint_are_refused(folder):
    """Also a link to the very bytes that were there, which a hash cannot tell."""
    largest = max((folder / NEWER).rglob("d/*"), key=lambda path: path.stat().st_size)
    elsewhere = folder.parent / "elsewhere"
    shutil.move(largest, elsewhere)
    largest.symlink_to(elsewhere)
    assert_passed_over(folder, f"{largest}: it is a link")
    largest.unlink()
    shutil.move(elsewhere, largest)
    (folder / NEWER / "state" / "more").symlink_to(folder / OLDER)
    assert_passed_over(folder, "it is a link")
    (folder / NEWER / "state" / "more").unlink()
    (folder / NEWER / ".hidden").write_text("a stranger's")
    assert_passed_over(folder, "a file that its manifest does not name")
    (folder / NEWER / ".hidden").unlink()
    shutil.move(folder / NEWER, folder.parent / "moved")
    (folder / NEWER).symlink_to(folder.parent / "moved")
    assert_passed_over(folder, "it is no folder")


def test_where_none_is_good_one_error_names_the_folder_and_the_fix(folder):
    for number in (OLDER, NEWER):
        (folder / number / "state" / "_METADATA").unlink()
    with pytest.raises(
        InputError, match=r"none of its run states can be trusted \(.*0000000004.*0000000002"
    ) as error:
        store_in(folder).latest(pytest.fail)
    assert error.value.file == folder.resolve() and "delete it" in error.value.fix


def test_another_runs_states_are_not_taken_and_not_removed(folder):
    """As where two runs of different studies have shared a folder."""
    other = CheckpointStore(folder, "another")
    with pytest.raises(InputError, match=r"of another run.*'mine'.*not.*'another'"):
        other.latest(pytest.fail)
    other.save(4, state(9.0))
    assert sorted(path.name for path in folder.iterdir()) == [OLDER, NEWER, f"{NEWER}.old-1"]
    same(store_in(folder).restore(2, state()), state())
    said = []
    assert other.latest(said.append) == 4 and not said


def test_every_process_takes_what_the_first_has_found(folder, monkeypatch):
    """Though its own look at a shared disk would tell it otherwise."""
    monkeypatch.setattr(checkpoint, "is_primary", lambda: False)
    for said in (2, checkpoint.NONE):
        monkeypatch.setattr(checkpoint, "agreed", lambda number, said=said: said)
        assert store_in(folder).latest(pytest.fail) == (2 if said == 2 else None)
    monkeypatch.setattr(checkpoint, "agreed", lambda number: checkpoint.REFUSED)
    with pytest.raises(InputError, match="the first process trusts none"):
        store_in(folder).latest(pytest.fail)


def test_a_checkpoint_under_anothers_number_is_not_taken(folder):
    shutil.copytree(folder / OLDER, folder / "0000000008")
    said = []
    assert store_in(folder).latest(said.append) == 4 and "'updates': 2" in said[0]


def test_a_folder_with_a_number_that_is_nobodys_is_neither_taken_nor_removed(folder):
    (folder / "0000000099").mkdir()
    (folder / "0000000099" / "notes.txt").write_text("kept")
    (folder / "7").mkdir()
    store, said = store_in(folder), []
    assert store.latest(said.append) == 4 and "0000000099: it has no manifest" in said[0]
    store.save(6, state())
    store.save(99, state())
    names = {path.name for path in folder.iterdir()}
    assert names == {"7", "0000000006", "0000000099", "0000000099.old-1"}
    assert (folder / "0000000099.old-1" / "notes.txt").read_text() == "kept"


def test_a_damaged_newer_one_does_not_drive_out_the_good_one(folder):
    """4 is damaged, 2 is taken, 6 is written: 2 and 6 are good, and they stay."""
    (folder / NEWER / "state" / "_METADATA").write_text("{}")
    store = store_in(folder)
    assert store.latest([].append) == 2
    store.save(6, state(2.0))
    assert sorted(path.name for path in folder.iterdir()) == [OLDER, "0000000006"]


def test_the_newer_is_on_the_disk_before_the_older_goes(folder, monkeypatch):
    """Every file and folder of it is flushed under its temporary name, then its place; only then is anything removed."""
    flushed, steps = set(), []
    fsync, replace = os.fsync, os.replace

    def note_flush(descriptor):
        flushed.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def note_rename(source, target):
        replace(source, target)
        steps.append((os.path.basename(target), os.path.basename(os.path.dirname(source))))
        if os.path.basename(target) == "0000000006":
            inside = {str(path).replace("/store/", "/store/.0000000006.saving/", 1)
                      for path in [folder / "0000000006", *(folder / "0000000006").rglob("*")]}  # fmt: skip
            assert inside <= flushed
            flushed.clear()
        elif os.path.basename(source) == OLDER:
            assert str(folder) in flushed

    store = store_in(folder)
    store.latest(pytest.fail)
    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(os, "replace", note_rename)
    store.save(6, state())
    names = [name for name, _ in steps]
    assert names.index("0000000006") < names.index(OLDER)


def test_what_an_earlier_version_left_is_taken_only_by_who_knows_whose_it_is(folder):
    (folder / OLDER / "manifest.json").unlink()
    (folder / NEWER / "manifest.json").unlink()
    (folder / NEWER / "commit_success.txt").unlink()
    with pytest.raises(InputError, match="it has no manifest of hashes"):
        store_in(folder).latest(pytest.fail)
    assert store_in(folder).adopt() and not store_in(folder).adopt()
    assert_passed_over(folder, "it has no manifest")  # nor its mark: orbax had not finished it
    same(store_in(folder).restore(2, state()), state())


@pytest.mark.parametrize(
    "other", [{"a": jnp.zeros(4)}, {"a": jnp.zeros(3), "b": jnp.zeros(1)}], ids=["shape", "leaves"]
)
def test_another_run_state_is_refused(tmp_path, other):
    store = store_in(tmp_path)
    store.save(2, {"a": jnp.zeros(3)})
    with pytest.raises(InputError, match="not of this version's run state"):
        store.restore(2, other)


def test_arrays_that_meant_something_else_are_refused(tmp_path, monkeypatch):
    """Same shapes, written by a version whose arrays had another meaning."""
    with monkeypatch.context() as before:
        before.setattr(checkpoint, "MEANING", checkpoint.MEANING - 1)
        store_in(tmp_path).save(2, {"a": jnp.zeros(3)})
    with pytest.raises(InputError, match="not of this version's run state"):
        store_in(tmp_path).restore(2, {"a": jnp.zeros(3)})
