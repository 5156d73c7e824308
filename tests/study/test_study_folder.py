"""A study's folder: what an earlier run left, and when it may be gone on with."""

import io
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from ialp_jax import environments
from ialp_jax.artifacts import InputError, read_json, write_json
from ialp_jax.commands import train
from ialp_jax.methods import get
from ialp_jax.serving.stream import Stream
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.folder import RESULT_FILES, run_state_store
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.run import Study
from ialp_jax.study.stages import check_chunks, stages_of
from ialp_jax.study.training import Training
from ialp_jax.training.loop import LoopConfig


def study(out, resume=False, name="synthetic", **changes):
    _, environment = environments.get(name)
    return Study(name, environment, None, StudyConfig(**changes), out, resume)


@dataclass
class Logs:
    """Of a dataset all that a folder asks for."""

    fingerprint: str
    source: str = "synthetic"


def opened(one, dataset="these logs", table=None):
    """Opens a study's folder; what was said."""
    console = Console(file=io.StringIO(), width=200)
    given = None if table is None else SimpleNamespace(content=table)
    inputs = Inputs(Logs(dataset), one.config, one.out, console, given)
    training = Training(one.methods, inputs, console, one.run_states, lambda budget: None)
    one._folder(training, one.methods).open(one.resume, console)
    return console.file.getvalue()


def leave_results(out):
    for name in RESULT_FILES:
        (out / name).write_text("of the first run")
    (out / "checkpoints" / "a2c" / "0000000010").mkdir(parents=True)
    (out / "policy").mkdir()


def test_starting_anew_leaves_no_results_of_the_earlier_run(tmp_path):
    assert opened(study(tmp_path)) == ""
    leave_results(tmp_path)
    (tmp_path / ".policy.x1y2z3w4.unfinished").mkdir()
    assert "holds an earlier run; starting anew" in opened(study(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"seeds": 3}, "study.seeds"), ({"methods": ("random",)}, "of oracle, popular"), ({"name": "steam"}, "environment")],
    ids=lambda value: str(value)[:12],
)  # fmt: skip
def test_another_studys_results_are_moved_away_whole(tmp_path, changes, words):
    out = tmp_path / "out"
    opened(study(out))
    leave_results(out)
    before = sorted(path.relative_to(out) for path in out.rglob("*"))
    said = opened(study(out, **changes)).replace("\n", "")
    assert "held another study" in said and words in said and "out.old-1" in said
    assert [path.name for path in out.iterdir()] == ["config.json"]
    aside = tmp_path / "out.old-1"
    assert sorted(path.relative_to(aside) for path in aside.rglob("*")) == before
    assert read_json(aside / "config.json")["study"]["seeds"] == 5
    opened(study(aside, resume=True))  # where it can be gone on with


def test_what_has_trained_nothing_yet_is_not_kept(tmp_path):
    opened(study(tmp_path / "out"))
    opened(study(tmp_path / "out", seeds=3))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_run_states_of_an_earlier_version_are_taken_once(tmp_path):
    """Those that the record names: later a lost manifest is damage."""
    one = study(tmp_path, methods=("random",))
    opened(one)
    record = read_json(tmp_path / "config.json")
    ((stage, key),) = record["stages"]["random"].items()
    folder = tmp_path / "checkpoints" / f"{stage}-{key[:8]}" / "0000000010"
    stranger = tmp_path / "checkpoints" / "a2c-00000000" / "0000000010"
    for path in (folder, stranger):
        path.mkdir(parents=True)
        (path / "commit_success.txt").write_text("done")
    del record["run_states"]
    write_json(tmp_path / "config.json", record)
    store = run_state_store(tmp_path / "checkpoints", stage, key)
    with pytest.raises(InputError, match="no manifest of hashes"):
        store.latest(pytest.fail)
    again = study(tmp_path, resume=True, methods=("random",))
    assert "written without hashes" in opened(again)
    assert store.latest(pytest.fail) == 10 and not (stranger / "manifest.json").exists()
    (folder / "manifest.json").unlink()
    assert opened(again) == ""
    with pytest.raises(InputError, match="no manifest of hashes"):
        store.latest(pytest.fail)


def test_resuming_keeps_everything(tmp_path):
    opened(study(tmp_path))
    leave_results(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert opened(study(tmp_path, resume=True)) == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_chunks_matter_and_the_pace_of_checkpoints_does_not(tmp_path):
    first = study(tmp_path)
    opened(first)
    chunk = first.config.loop.chunk
    opened(study(tmp_path, resume=True, loop=LoopConfig(chunk, checkpoint_seconds=1.0)))
    with pytest.raises(InputError, match=r"\(study.loop.chunk\)"):
        opened(study(tmp_path, resume=True, loop=LoopConfig(chunk // 2)))


def without(record, name):
    *outer, last = name.split(".")
    for part in outer:
        record = record[part]
    del record[last]


@pytest.mark.parametrize("missing", ["environment", "dataset", "versions", "study", "study.options"])
def test_a_record_of_which_something_is_missing_is_refused_by_name(tmp_path, missing):
    """To go on with; who starts anew is told, and nothing is lost."""
    out = tmp_path / "out"
    opened(study(out))
    leave_results(out)
    record = read_json(out / "config.json")
    without(record, missing)
    write_json(out / "config.json", record)
    with pytest.raises(InputError, match=r"config.json: it is no whole record.*leave RESUME out"):
        opened(study(out, resume=True, seeds=3))
    if missing in ("environment", "study"):  # of which nobody could say that a study wrote it
        return
    assert "whose record is damaged" in opened(study(out, seeds=3)).replace("\n", "")
    assert read_json(tmp_path / "out.old-1" / "config.json") == record


@pytest.mark.parametrize("stages", [[], {"a2c": []}, {"a2c": {"a2c": 3}}, None])
def test_stages_that_are_none_are_refused_by_name(tmp_path, stages):
    out = tmp_path / "out"
    opened(study(out))
    leave_results(out)
    record = read_json(out / "config.json") | {"stages": stages}
    for damaged in (record, []):
        write_json(out / "config.json", damaged)
        with pytest.raises(InputError, match=r"config.json: it is no whole record"):
            opened(study(out, resume=True))
    write_json(out / "config.json", record)
    assert "whose record is damaged" in opened(study(out)).replace("\n", "")


def test_another_environment_is_refused_by_name(tmp_path):
    opened(study(tmp_path))
    with pytest.raises(InputError, match=r"another configuration \(environment\)"):
        opened(study(tmp_path, resume=True, name="steam"))


def test_other_logs_under_the_same_settings_are_refused(tmp_path):
    opened(study(tmp_path))
    with pytest.raises(InputError, match=r"another configuration \(dataset\)"):
        opened(study(tmp_path, resume=True), dataset="other logs")


@pytest.mark.parametrize("table", ["another table", None])
def test_another_table_under_the_same_settings_is_refused(tmp_path, table):
    opened(study(tmp_path), table="this table")
    opened(study(tmp_path, resume=True), table="this table")
    with pytest.raises(InputError, match=r"another configuration \(table\)"):
        opened(study(tmp_path, resume=True), table=table)


def test_a_table_that_may_not_be_used_costs_no_earlier_results(tmp_path):
    opened(study(tmp_path / "out"))
    leave_results(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    one = replace(study(tmp_path / "out"), prefs=tmp_path / "no-table")
    with pytest.raises(InputError, match="no-table"):
        one.run(Console(file=io.StringIO()))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("theirs", ["policy/theirs.txt", "checkpoints/theirs.txt"])
@pytest.mark.parametrize("config", [None, "{}", "[]"])
def test_what_is_somebody_elses_is_not_cleared(tmp_path, theirs, config):
    (tmp_path / theirs).parent.mkdir()
    (tmp_path / theirs).write_text("kept")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="which no study wrote"):
        opened(study(tmp_path))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_other_versions_of_the_packages_are_said(tmp_path, monkeypatch):
    opened(study(tmp_path))
    monkeypatch.setattr("ialp_jax.study.folder.versions", lambda: {"jax": "0.0.1"})
    assert "not bitwise the uninterrupted one" in opened(study(tmp_path, resume=True)).replace("\n", " ")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("online.updates", {"online": Stream(updates=15)}),
        ("pretrain.updates", {"pretrain": Stream(updates=15)}),
        (
            "behaviour cloning.updates",
            {"methods": ("bc",), "loop": LoopConfig(chunk=32), "online": Stream(updates=160)},
        ),
    ],
)
def test_odd_chunks_are_refused_before_anything_starts(tmp_path, field, changes):
    with pytest.raises(InputError, match=field):
        study(tmp_path, **changes).run(Console(file=io.StringIO()))
    assert not list(tmp_path.iterdir())


def test_chunks_are_judged_by_the_presets_own_updates(monkeypatch):
    """3,910 updates of `full` are 230 chunks of 17; the bare defaults, 400, are not whole ones."""
    checked = []
    monkeypatch.setattr(Study, "run", lambda one, console: checked.append(check_chunks(one.config)))
    train.run(["steam", "--preset", "full", "--loop.chunk", "17"])
    assert checked == [None]


def test_the_command_line_names_the_table_and_can_go_on_without_the_gate(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(Study, "run", lambda one, console: ran.append(one))
    train.run(["steam", "--prefs", str(tmp_path), "--preferences.gate.enforce", "False"])
    train.run(["steam"])
    assert [one.prefs for one in ran] == [tmp_path, None]
    assert [one.config.preferences.gate.enforce for one in ran] == [False, True]


def test_a_folder_without_a_run_is_started_and_that_is_said(tmp_path):
    assert "holds no run to resume" in opened(study(tmp_path, resume=True))
    assert (tmp_path / "config.json").exists()


def test_fine_tuning_and_learning_from_scratch_take_the_same_kind_of_numbers():
    """Or they would not share a program."""
    scratch, tuned = (stages_of(get(name), StudyConfig(methods=(name,)))[-1] for name in ("a2c", "a_ialp_ft"))
    assert (scratch.learner, scratch.config, scratch.hyper) == (tuned.learner, tuned.config, tuned.hyper)
