"""Logged sessions as a study makes them: from the logs, from a stated policy, and as files of its folder."""

import dataclasses
import io

import numpy as np
import polars as pl
import pytest
from made_tables import tiny_dataset
from rich.console import Console

from ialp_jax.artifacts import InputError, read_manifest
from ialp_jax.methods import get
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.logged import KIND, LoggedConfig, history_sessions
from ialp_jax.study.measure import costs_of
from ialp_jax.study.stages import stages_of
from ialp_jax.worlds.simulator import SimulatorConfig

CONFIG = StudyConfig(
    methods=("bc", "iql"), logged=LoggedConfig(sessions=40), simulator=SimulatorConfig(turn_cap=4)
)


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def inputs(dataset, out, config=CONFIG):
    return Inputs(dataset, config, out, Console(file=io.StringIO()))


def histories_of(dataset):
    """Items of every offline user in their order."""
    offline = dataset.users.filter(pl.col("split") == "offline")["user"].to_list()
    rows = dataset.interactions.sort("user", "position")
    return {user: rows.filter(pl.col("user") == user)["item"].to_list() for user in offline}


@pytest.mark.parametrize("turns", [3, 50])
def test_the_logs_are_cut_into_sessions_that_hold_every_interaction_but_the_first(dataset, turns):
    logged = history_sessions(dataset, 4, turns, masked=True)
    assert not logged.exact and not np.any(logged.terminated) and not np.any(logged.log_propensity)
    expected = []
    for items in histories_of(dataset).values():
        for place in range(1, len(items)):
            window = [dataset.num_items] * max(4 - place, 0) + items[max(place - 4, 0) : place]
            expected.append((window, items[place]))
    rows = np.asarray(logged.turns)
    shown = [(np.asarray(logged.window.items)[s, t].tolist(), int(logged.action[s, t])) for s, t in rows]
    assert shown == expected
    assert int(np.max(logged.length)) <= turns
    padded = np.arange(logged.action.shape[1]) >= np.asarray(logged.length)[:, None]
    assert np.all(np.asarray(logged.action)[padded] == dataset.num_items)


def test_recorded_sessions_are_of_offline_users_and_their_steps_are_counted(dataset, tmp_path):
    made = inputs(dataset, tmp_path)
    recorded = made.recorded
    offline = set(histories_of(dataset))
    known = {tuple(made.world.initial_items[user].tolist()) for user in offline}
    assert {tuple(row) for row in np.asarray(recorded.window.items)[:, 0].tolist()} <= known
    assert recorded.exact and np.all(np.asarray(recorded.log_propensity)[:, 0] < 0)
    costs = {name: costs_of(stages_of(get(name), CONFIG), made, CONFIG) for name in ("bc", "iql")}
    assert costs["iql"].logged_steps == int(np.sum(recorded.length)) > 40 and costs["bc"].logged_steps == 0
    assert costs["iql"].online_steps == CONFIG.online.steps and costs["iql"].judgements == 0


def test_the_file_is_read_back_and_made_anew_for_other_settings(dataset, tmp_path):
    first = inputs(dataset, tmp_path).recorded
    folder = tmp_path / "logged" / "recorded"
    written = (folder / "sessions.npz").stat().st_mtime_ns
    again = inputs(dataset, tmp_path).recorded
    assert (folder / "sessions.npz").stat().st_mtime_ns == written
    np.testing.assert_array_equal(first.action, again.action)
    np.testing.assert_array_equal(first.window.items, again.window.items)
    assert (again.exact, again.masked) == (True, True)
    assert "stated logging policy" in " ".join(read_manifest(folder, KIND).statements)
    other = dataclasses.replace(CONFIG, logged=LoggedConfig(sessions=8))
    assert inputs(dataset, tmp_path, other).recorded.action.shape[0] == 8


def test_an_altered_file_is_refused(dataset, tmp_path):
    assert inputs(dataset, tmp_path).logs.turns.size
    (tmp_path / "logged" / "logs" / "sessions.npz").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"sessions\.npz.*altered"):
        _ = inputs(dataset, tmp_path).logs
