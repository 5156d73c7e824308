"""A folder for results: who may write there, who is at work there, and what becomes of what lay there."""

import io
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ialp_jax import commands, environments
from ialp_jax.artifacts import InputError
from ialp_jax.folders import LOCK, claimed, require_writable, require_writable_file, set_aside
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.run import Study

SPACE = Path(__file__).parents[1] / "experiments" / "sweeps" / "quick_a2c.toml"
WRITERS = {
    "train": ["synthetic", "--out"],
    "sweep": ["synthetic", "--space", str(SPACE), "--out"],
    "bench": ["--quick", "--out"],
    "report": [],
    "prefs plan": ["synthetic", "--out"],
    "prefs extend": ["no-table", "--out"],
    "prefs merge": ["no-table", "no-table-either", "--out"],
    "prefs evaluate": [],
    "prefs export": ["no-table"],
}
"""The words of every command that writes results, up to the place they go to."""


def command(name, place, monkeypatch):
    """Runs a command that must not get as far as reading logs."""
    monkeypatch.setattr(environments.Environment, "dataset", lambda *_: pytest.fail("it has begun to work"))
    words = name.split()
    file = [str(place / "out.csv")] if name == "prefs export" else [str(place)]
    commands.dispatch(commands, "ialp", [*words, *WRITERS[name], *file])


def test_every_command_with_a_place_for_results_is_tried_here():
    folder = Path(commands.__file__).parent
    with_place = {" ".join(file.relative_to(folder).with_suffix("").parts) for file in folder.rglob("*.py")
                  if "    out: " in file.read_text(encoding="utf-8")}  # fmt: skip
    assert with_place <= WRITERS.keys() and len(with_place) >= 6


@pytest.mark.parametrize("name", WRITERS)
def test_a_place_that_cannot_be_written_is_refused_before_any_work(name, tmp_path, monkeypatch):
    """A file; something below a file; and, as root may write everywhere, a folder of which the system says it may not be."""
    (tmp_path / "file").write_text("kept")
    for place in (tmp_path / "file", tmp_path / "file" / "below" / "it"):
        with pytest.raises(InputError, match=r"file .*file, not a folder.* Fix: give another place"):
            command(name, place, monkeypatch)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(InputError, match="may not be written"):
        command(name, tmp_path / "new", monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_place_that_can_be_made_is_not_made_by_looking(tmp_path):
    require_writable(tmp_path / "a" / "b", "--out")
    require_writable_file(tmp_path / "a" / "b.csv", "FILE")
    assert not list(tmp_path.iterdir())
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="a link to nothing"):
        require_writable(tmp_path / "lost", "--out")
    with pytest.raises(InputError, match="it is a folder, not a file"):
        require_writable_file(tmp_path, "FILE")


def test_what_cannot_be_made_after_all_is_said_too(tmp_path):
    with pytest.raises(InputError, match="cannot be made"), claimed(tmp_path / ("long" * 100), "work"):
        pass


HOLD = "import sys, time; from pathlib import Path; from ialp_jax.folders import claimed\n" \
       "with claimed(Path(sys.argv[1]), 'ialp train first'): print('held', flush=True); time.sleep(60)"  # fmt: skip


def test_the_second_process_is_refused_by_name_until_the_first_has_ended_however_it_did(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        _, environment = environments.get("synthetic")
        second = Study(
            "synthetic", environment, None, StudyConfig(methods=("random",), seeds=3), tmp_path, False
        )
        with pytest.raises(InputError) as error:
            second.run(Console(file=io.StringIO()))
        said = str(error.value)
        assert f"ialp train first, process {first.pid} on" in said and " since 20" in said
        assert (
            "ialp train synthetic, 3 seeds of random cannot be" in said
            and "wait for it, or give another" in said
        )
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    with claimed(tmp_path, "the second"):
        pass


@pytest.mark.parametrize("name", ["train", "sweep", "bench", "prefs plan"])
def test_a_command_is_refused_where_another_is_at_work(name, tmp_path, monkeypatch):
    with (
        claimed(tmp_path, "the other"),
        pytest.raises(InputError, match=r"at work there .the other, process"),
    ):
        command(name, tmp_path, monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.parametrize("name", ["train", "prefs plan"])
def test_logs_that_are_not_there_make_no_folder(name, tmp_path):
    words = ["steam", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out" / "deep")]
    with pytest.raises(InputError, match="there is no such folder"):
        commands.dispatch(commands, "ialp", [*name.split(), *words])
    assert not list(tmp_path.iterdir())


def test_those_who_share_the_work_hold_a_folder_together_and_nobody_else(tmp_path):
    with claimed(tmp_path, "whole", "OUT") as alone:
        with pytest.raises(InputError, match="whole, process"), claimed(tmp_path, "part", "OUT", shared=True):
            pass
        alone.hold(shared=True)
        with claimed(tmp_path, "part 1", "OUT", shared=True), claimed(tmp_path, "part 2", "OUT", shared=True):
            with pytest.raises(InputError, match="at work there"), claimed(tmp_path, "other", "OUT"):
                pass
            with pytest.raises(InputError, match="at work there"):
                alone.hold()
        alone.hold()


def test_moving_aside_keeps_everything_and_the_lock(tmp_path):
    folder = tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("a")
    (folder / "mark").write_text("b")
    with claimed(folder, "work"):
        aside = set_aside(folder)
        with pytest.raises(InputError, match="at work"), claimed(folder, "another"):
            pass
    assert aside == tmp_path / "out.old-1" and [path.name for path in folder.iterdir()] == [LOCK]
    assert (aside / "deep" / "file").read_text() + (aside / "mark").read_text() == "ab"
    assert folder.stat().st_mode == aside.stat().st_mode and not (aside / LOCK).exists()
    assert set_aside(folder) == tmp_path / "out.old-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.old-1", "out.old-2"]


@pytest.mark.parametrize(("failing", "lies"), [((2,), "out"), ((2, 3), "out.old-1")])
def test_a_folder_that_cannot_be_moved_lies_where_the_error_says(failing, lies, tmp_path, monkeypatch):
    """The second rename fails; then also the one that puts everything back."""
    folder, calls, replace = tmp_path / "out", [], os.replace
    folder.mkdir()
    (folder / "mark").write_text("a")

    def fail(source, target):
        calls.append(target)
        if len(calls) in failing:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with claimed(folder, "work"), pytest.raises(InputError) as error:
        set_aside(folder)
    said = "cannot be moved to" if lies == "out" else f"lies whole in {tmp_path / lies}"
    assert said in str(error.value) and [path.name for path in tmp_path.iterdir()] == [lies]
    assert (tmp_path / lies / "mark").read_text() == "a"


def test_the_package_is_a_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ialp", "no-such-command"])
    monkeypatch.delitem(
        sys.modules, "ialp_jax.__main__", raising=False
    )  # of a test that imports every module
    with pytest.raises(SystemExit) as status:
        runpy.run_module("ialp_jax", run_name="__main__")
    assert status.value.code == commands.BAD_INPUT and "usage: ialp COMMAND" in capsys.readouterr().err
