"""What killed processes leave half written is removed by the next one, and nothing that another is at work in."""

import os
import shutil
import subprocess
import sys

import pytest

from ialp_jax.artifacts import write_json
from ialp_jax.durable import UNFINISHED, remove_abandoned, remove_leftovers, remove_tree, workspace
from ialp_jax.folders import set_aside

WRITER = """
import sys, time
from pathlib import Path
from ialp_jax.artifacts import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("at work", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that is in the middle of writing `it`."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "it")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at work\n"
        yield process
        process.kill()


def hidden(folder):
    return [name for name in os.listdir(folder) if name.startswith(".")]


def test_what_a_killed_process_left_goes_with_the_next_write_and_what_is_at_work_stays(writer, tmp_path):
    (half,) = hidden(tmp_path)
    write_json(tmp_path / "it", 1)
    remove_abandoned(tmp_path)
    assert hidden(tmp_path) == [half] and (tmp_path / half / "it").read_text() == "half"
    writer.kill()
    writer.wait()
    write_json(tmp_path / "another", 1)
    assert hidden(tmp_path) == [half]
    write_json(tmp_path / "it", 2)
    assert sorted(os.listdir(tmp_path)) == ["another", "it"]


@pytest.mark.parametrize("again", [lambda path: write_json(path / "a", 1), remove_tree, set_aside])
def test_every_way_of_writing_cleans_up_after_itself(again, tmp_path):
    place = tmp_path / "it"
    place.mkdir()
    abandoned = tmp_path / f".it.x1y2z3w4{UNFINISHED}"
    inside = place / f".a.x1y2z3w4{UNFINISHED}"
    for folder in (abandoned, inside):
        (folder / "a").mkdir(parents=True)
    again(place)
    left = [str(path) for path in tmp_path.rglob(f"*{UNFINISHED}")]
    assert left == [str(abandoned)] * (again not in (remove_tree, set_aside)) + (
        [str(tmp_path / "it.old-1" / inside.name)] if again is set_aside else []
    )


def test_leftovers_go_at_any_depth_and_nothing_else(tmp_path):
    names = [
        f".a.b.x1y2z3w4{UNFINISHED}",
        ".0000000010.saving",
        ".saving",
        "0000000010.saving",
        f"a{UNFINISHED}",
        ".git",
    ]
    for place in (tmp_path, tmp_path / "deep" / "deeper"):
        for name in names:
            (place / name / "content").mkdir(parents=True)
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "nowhere")
    remove_abandoned(tmp_path / "nowhere")
    for place in (tmp_path, tmp_path / "deep" / "deeper"):
        assert sorted(name for name in os.listdir(place) if name != "deep") == sorted(names[2:])


def test_a_workspace_that_is_taken_for_abandoned_before_it_is_held_is_made_anew(tmp_path, monkeypatch):
    hold, taken = os.open, []

    def slow(path, *more, **options):
        if not taken and str(path).endswith(".held"):
            taken.append(path)
            shutil.rmtree(path.parent)
        return hold(path, *more, **options)

    monkeypatch.setattr(os, "open", slow)
    with workspace(tmp_path / "it") as folder:
        assert taken and folder != taken[0].parent and os.listdir(tmp_path) == [folder.name]


def test_where_no_locks_are_kept_files_are_written_and_nothing_is_taken_for_abandoned(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("ialp_jax.durable.fcntl.flock", refused)
    (tmp_path / f".it.x1y2z3w4{UNFINISHED}").mkdir()
    write_json(tmp_path / "it", 1)
    assert sorted(os.listdir(tmp_path)) == [f".it.x1y2z3w4{UNFINISHED}", "it"]
