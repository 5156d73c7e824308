"""The main job through the command line: its files, its refusals, and what interruption does to its numbers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from damage import read_part, read_run_state, unnoticed
from earlier import earlier, flags
from made_tables import DOUBLE, make_table
from pinned import assert_pinned, study_numbers
from tiny_study import TINY

import ialp_jax
from ialp_jax import cli, environments
from ialp_jax.artifacts import InputError, read_arrays, read_json
from ialp_jax.command_line import without
from ialp_jax.policies.artifact import load_policy
from ialp_jax.report import write_report
from ialp_jax.report.inputs import read_run

SETTINGS = [
    "--seeds",
    "2",
    "--policy.embedding",
    "4",
    "--policy.hidden",
    "4",
    "--evaluation.sessions",
    "8",
    "--loop.chunk",
    "2",
    "--pretrain.users",
    "8",
    "--pretrain.rollout",
    "4",
    "--pretrain.updates",
    "8",
    "--pretrain.pool",
    "4",
    "--online.users",
    "8",
    "--online.rollout",
    "4",
    "--online.updates",
    "12",
    "--online.pool",
    "4",
    "--online.bins",
    "4",
]
METHODS = (
    "random", "popular", "table_greedy", "oracle", "a2c", "ialp", "a_ialp_ft", "a_ialp_ap_mixture", "a_ialp_ap_value",
)  # fmt: skip
METRICS = ("initial_reward", "final_reward", "mean_reward", "length", "reward_per_turn", "coverage")
LIMIT = 600  # seconds; only met if something hangs


PROGRAMS = 95  # 86 on JAX 0.10, 88 on 0.12; of a study of these nine methods in an empty cache: those of the stages, and what prepares and measures


def begin(place, out, *more, compilations=None):
    """Starts `ialp train` in a process of its own; `compilations` is a file for what JAX says of them."""
    command = [Path(sys.executable).parent / "ialp", "train", "tiny.py", "--out", out, *SETTINGS,
               "--methods", *METHODS, *flags(earlier(METHODS)), *more]  # fmt: skip
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(place / "compiled" / out)}
    environment |= {"JAX_LOG_COMPILES": "1"} if compilations else {}
    return subprocess.Popen(
        command, cwd=place, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=compilations or subprocess.STDOUT,
    )  # fmt: skip


def end(process):
    """Waits for a process; returns its exit status and what it said."""
    said = process.communicate(timeout=LIMIT)[0]
    return process.returncode, said


def interrupt(process, sign, number):
    """Sends a signal as soon as `sign()` is true; returns as `end`."""
    deadline = time.monotonic() + LIMIT
    while not sign():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(number)
    return end(process)


def checkpoints(out, stage):
    """Complete run states of a stage, whatever its key."""
    return [path.name for path in out.glob(f"checkpoints/{stage}-*/*") if path.name.isdigit()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Side by side: a run without interruption; and one killed in its second stage, with what it left, and resumed."""
    place = tmp_path_factory.mktemp("study")
    (place / "tiny.py").write_text(TINY, encoding="utf-8")
    with (place / "whole.err").open("w") as compilations:
        whole = begin(place, "whole", compilations=compilations)
    often = ("--loop.checkpoint-seconds", "0")
    broken = begin(place, "broken", *often)
    killed = interrupt(broken, lambda: checkpoints(place / "broken", "popular"), signal.SIGKILL)
    left = sorted(path.name for path in (place / "broken").iterdir())
    resumed = end(begin(place, "broken", *often, "--resume"))
    return {"place": place, "whole": end(whole), "killed": killed, "left": left, "resumed": resumed}


@pytest.fixture(scope="module")
def finished(runs):
    """Folder of the run without interruption, and what it said."""
    status, said = runs["whole"]
    assert status == 0, said
    return runs["place"] / "whole", said


@pytest.mark.slow
def test_no_more_is_compiled_than_has_to_be(finished):
    """An array taken apart on the host's behalf is a program per shape: 65 of 151 once."""
    lines = (finished[0].parent / "whole.err").read_text().splitlines()
    programs = [
        line.split(" of ")[1].split(" in ")[0] for line in lines if "Finished XLA compilation of " in line
    ]
    assert len([name for name in programs if name == "jit(train_chunk)"]) == 9
    assert 9 < len(programs) <= PROGRAMS, sorted(programs)


@pytest.mark.slow
def test_no_number_has_moved(finished):
    assert_pinned("study", study_numbers(finished[0]))


@pytest.mark.slow
def test_every_file_of_the_interface_is_there(finished):
    out, said = finished
    summary = json.loads((out / "summary.json").read_text())
    assert summary["env"] == "tiny"
    assert set(summary["world"]) == {"source", "users", "items", "interactions", "item_mean_share"}
    assert summary["world"]["source"] == "synthetic" and summary["world"]["users"] <= 50
    assert {"judge", "is_llm", "model", "pairs", "auc_vs_world"} <= set(summary["preferences"])
    assert summary["preferences"]["is_llm"] is False and 0 < summary["preferences"]["auc_vs_world"] <= 1
    assert summary["budget"] == summary["budget"] | {"online_steps": 8 * 4 * 12, "seeds": 2}
    assert set(summary["methods"]) == set(METHODS)
    for name, method in summary["methods"].items():
        for metric in METRICS:
            found = method[metric]
            assert found["low"] <= found["mean"] <= found["high"], (name, metric)
            assert len(found["per_seed"]) == 2
        assert 1 <= method["length"]["mean"] <= 4 and 0 < method["coverage"]["mean"] <= 1
        assert method["online_steps"] > 0
        assert (method["judgements"] > 0) == (name in ("table_greedy", "ialp") or name.startswith("a_ialp"))
    config = json.loads((out / "config.json").read_text())
    assert config["study"]["online"]["updates"] == 12 and config["environment"] == "tiny"
    page = (out / "report.html").read_text()
    assert "not an LLM" in page or "No LLM" in page
    assert "INVENTED" in said and "did not come from an LLM" in " ".join(said.split())


@pytest.mark.slow
def test_damage_of_any_file_is_found_where_it_is_read(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    keys = sorted(
        {stage for stages in read_json(out / "config.json")["stages"].values() for stage in stages.items()}
    )

    def read(name):
        if name.parts[0] == "checkpoints":
            read_run_state(out, name, keys)
        elif len(name.parts) > 1:
            read_part(out, name)
        else:
            read_run(out)

    assert unnoticed(out, read) == []


@pytest.mark.slow
def test_damaged_results_are_made_again_by_resuming_and_pages_by_the_report(finished, runs, tmp_path):
    out = runs["place"] / "mended"
    shutil.copytree(finished[0], out)
    shutil.copytree(runs["place"] / "compiled" / "whole", runs["place"] / "compiled" / "mended")
    for name in ("results.json", "report.html"):
        (out / name).write_bytes((out / name).read_bytes().replace(b"9", b"8"))
    for refused in (ialp_jax.read, write_report):
        with pytest.raises(InputError, match=r"results\.json.*--resume"):
            refused(out)
    status, said = end(begin(runs["place"], "mended", "--resume"))
    assert status == 0, said
    names = ("results.json", "curves.npz", "report.html", "summary.json", "world.json", "preferences.json")
    for name in names:
        assert (out / name).read_bytes() == (finished[0] / name).read_bytes(), name
    (out / "report.html").write_text("damaged")
    write_report(out)
    assert (out / "report.html").read_bytes() == (finished[0] / "report.html").read_bytes()


@pytest.mark.slow
def test_curves_hold_all_sessions_and_no_unfinished_ones(finished):
    curves = read_arrays(finished[0] / "curves.npz")
    np.testing.assert_allclose(curves["bins"], np.linspace(0, 384, 5))
    for name in METHODS:
        sessions, reward, length = (curves[f"{name}/{kind}"] for kind in ("sessions", "reward", "length"))
        assert sessions.shape == (2, 4) and np.all(sessions[:, 0] > 0)
        assert np.all(length >= sessions) and np.all(length <= 4 * sessions) and np.all(reward <= length)
    weight = curves["a_ialp_ap_mixture/weight"]
    assert weight.shape == (2, 4) and np.all((weight >= 0) & (weight <= 1))


@pytest.mark.slow
def test_the_policy_recommends(finished):
    policy = load_policy(finished[0] / "policy")
    assert len(policy.recommend([0, 1], k=5)) == 5
    assert any("not come from an LLM" in statement for statement in policy.statements)


@pytest.mark.slow
def test_a_killed_run_that_is_resumed_gives_the_same_bytes(runs, finished):
    assert runs["killed"][0] == -signal.SIGKILL
    assert "results.json" not in runs["left"] and "summary.json" not in runs["left"]
    status, said = runs["resumed"]
    assert status == 0, said
    for name in ("curves.npz", "results.json", "summary.json"):
        assert (runs["place"] / "broken" / name).read_bytes() == (finished[0] / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_table_feeds_the_study_and_what_it_is_is_said_everywhere(runs, finished):
    """Half the offline users, judged by a test double that says the same of everything."""
    place = runs["place"]
    name, environment = environments.get(str(place / "tiny.py"))
    table = make_table(environment.dataset(None, environment.data, name), place / "table", DOUBLE, states=12,
                       knows=False)  # fmt: skip
    status, said = end(begin(place, "double", "--prefs", "table", "--preferences.gate.enforce", "False"))
    assert status == 0, said
    out = place / "double"
    summary, kept = (json.loads((out / file).read_text()) for file in ("summary.json", "preferences.json"))
    assert not (out / "preferences").exists() and kept["table"]["path"] == str(place / "table")
    assert summary["preferences"]["test_double"] is True and summary["preferences"]["is_llm"] is False
    assert summary["preferences"]["calls"] == summary["preferences"]["pairs"] == table.num_judgements
    assert summary["preferences"]["gate"]["passed"] is False
    assert summary["preferences"]["quality"]["judge_auc"]["mean"] == 0.5 and kept["states"] == 12
    for method, found in summary["methods"].items():
        rests = method in ("table_greedy", "ialp") or method.startswith("a_ialp")
        assert found["llm_calls"] == found["judgements"] == (table.num_judgements if rests else 0), method
    whole = json.loads((place / "whole" / "summary.json").read_text())
    for method in ("random", "popular", "oracle", "a2c"):  # these know nothing of any table
        assert summary["methods"][method] == whole["methods"][method], method
    page, policy = (out / "report.html").read_text(), load_policy(out / "policy")
    assert 'class="box alarm"' in page
    for text in (page, " ".join(policy.statements), " ".join(said.split())):
        for expected in ("TEST DOUBLE", "did not pass the gate", "Only 12 of"):
            assert expected in text, expected


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    status, said = interrupt(begin(tmp_path, "out"), (tmp_path / "out/config.json").exists, signal.SIGINT)
    assert status == cli.INTERRUPTED
    assert "RESUME=1" in said and "Traceback" not in said


def run_here(monkeypatch, capfd, *arguments):
    """`ialp ARGUMENTS` in this process: exit status, and stderr on one line."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
    monkeypatch.setattr(sys, "argv", ["ialp", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capfd.readouterr().err.strip()


@pytest.mark.slow
def test_resuming_with_other_settings_is_refused_by_name(runs, finished, monkeypatch, capfd):
    before = (finished[0] / "config.json").read_bytes()
    settings = ["--online.updates", "14", "--methods.a-ialp-ft.discount", "0.5", "--resume"]
    status, said = run_here(
        monkeypatch,
        capfd,
        "train",
        runs["place"] / "tiny.py",
        "--out",
        finished[0],
        *without(SETTINGS, "online.updates"),
        "--methods",
        *METHODS,
        *flags(earlier(METHODS)),
        *settings,
    )
    assert status == cli.BAD_INPUT
    assert "(study.online.updates, study.methods.a_ialp_ft.discount)" in said and "seeds" not in said
    assert (finished[0] / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nowhere"), "there is no environment 'nowhere'"),
        (("train", "missing.py"), "there is no such file"),
        (("train", "steam", "--data", "no/such/folder"), "there is no such folder"),
        (("train", "synthetic", "--data", "."), "always synthetic"),
        (("train", "synthetic", "--seeds", "0"), "column seeds: 0 is out of range"),
        (("sweep", "synthetic"), "no sweep was named"),
        (("recommend", "no/such/policy"), "does not exist"),
        (("report", "no/such/run"), "does not exist"),
    ],
)
def test_bad_input_ends_with_one_line_and_status_two(tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(tmp_path)
    out = ("--out", tmp_path / "out") if arguments[0] == "train" else ()
    status, said = run_here(monkeypatch, capfd, *arguments, *out)
    assert status == cli.BAD_INPUT
    assert said.startswith("error: ") and message in said and "Fix:" in said and len(said.splitlines()) == 1


def test_an_error_is_printed_as_it_is_written(tmp_path, monkeypatch, capfd):
    """Brackets are no markup."""
    text = """
        method = "a2c"
        objective = "mean_reward"
        seeds = 1
        [search]
        kind = "grid"
        [fixed]
        "online.users" = 8
        [axes]
        "online.users" = [8, 16]
    """
    (tmp_path / "space.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    said = run_here(monkeypatch, capfd, "sweep", "synthetic", "--space", "space.toml")[1]
    assert "the field is in [fixed] too" in said


def test_an_unknown_command_shows_those_that_exist(monkeypatch, capfd):
    status, said = run_here(monkeypatch, capfd, "tarin")
    assert status == cli.BAD_INPUT
    assert all(name in said for name in ("train", "check", "envs", "recommend", "report"))
    assert run_here(monkeypatch, capfd, "--help")[0] == 0


def test_options_may_come_before_the_environment(tmp_path, monkeypatch, capfd):
    """The environment is found among options the first pass does not know."""
    status, said = run_here(monkeypatch, capfd, "train", "--out", tmp_path, "--seeds", "2", "nowhere")
    assert status == cli.BAD_INPUT and "'nowhere'" in said
