"""Compiling ahead: each piece of work once, by a thread of its own, and a study's programs before they are asked for."""

import threading
from pathlib import Path

import jax
import pytest
from tiny_study import FIXED, TINY

from ialp_jax.commands import train
from ialp_jax.study import measure, stages
from ialp_jax.study.ahead import Ahead
from ialp_jax.training import loop

COMPILED = "/jax/core/compile/backend_compile_duration"


def test_work_is_done_once_by_another_thread_and_whoever_waits_has_it():
    done = []
    with Ahead() as ahead:
        for _ in range(2):
            ahead.ask("name", lambda: done.append(threading.current_thread().name))
        ahead.wait("name")
        assert done == ["compile ahead_0"]
        ahead.wait("nobody asked for this")


def test_what_went_wrong_is_said_to_whoever_waits():
    def fail():
        raise ValueError("too large")

    with Ahead() as ahead:
        ahead.ask("name", fail)
        with pytest.raises(ValueError, match="too large"):
            ahead.wait("name")


def test_nothing_is_done_under_settings_that_another_thread_does_not_have():
    done = []
    with Ahead() as ahead:
        with jax.default_matmul_precision("highest"):
            ahead.ask("precise", lambda: done.append("precise"))
            ahead.wait("precise")
        ahead.ask("plain", lambda: done.append("plain"))
        ahead.wait("plain")
    assert done == ["plain"]


def test_work_that_nobody_needs_any_more_is_not_begun():
    begun, go = threading.Event(), threading.Event()
    done = []

    def slow():
        begun.set()
        go.wait(60)

    def leave():
        with Ahead() as ahead:
            ahead.ask("first", slow)
            ahead.ask("second", lambda: done.append("second"))
            begun.wait(60)
            threading.Timer(0.2, go.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert done == []


@pytest.fixture
def compilations():
    """Thread and program of everything that is compiled meanwhile."""
    seen, on = [], [True]

    def note(event, seconds, fun_name="", **_):
        if event == COMPILED and on:
            seen.append((threading.current_thread().name, fun_name))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield seen
    on.clear()


@pytest.mark.usefixtures("batched_keys")
@pytest.mark.parametrize("devices", [1, 4])
def test_while_a_stage_runs_the_next_is_compiled_and_nothing_twice(
    tmp_path, monkeypatch, compilations, devices
):
    for programs in (loop._compiled, stages._compiled_init, measure._compiled_play):
        programs.cache_clear()
    jax.clear_caches()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "read when JAX was imported: nothing is kept here")
    Path("tiny.py").write_text(TINY, encoding="utf-8")
    sizes = [word for name, value in FIXED.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    methods = ["a2c", "bc", "a_ialp_ft", "popular"]
    train.run(["tiny.py", "--out", "out", "--seeds", "3", "--mesh.run", str(devices), "--mesh.user", "1", *sizes,
               "--methods", *methods])  # fmt: skip
    by_thread = {
        name: [thread for thread, program in compilations if program == f"jit({name})"]
        for name in ("train_chunk", "init", "one_run")
    }
    # iALP's pre-training is a stage, and is not measured; A-iALP_ft plays with A2C's program.
    assert len(by_thread["train_chunk"]) == 5, compilations
    assert by_thread["train_chunk"].count("MainThread") <= 1  # the first stage's
    if devices == 1:
        assert [len(by_thread[name]) for name in ("init", "one_run")] == [5, 3], compilations
        assert by_thread["init"].count("MainThread") <= 1
        assert "MainThread" not in by_thread["one_run"]
