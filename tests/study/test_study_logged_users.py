"""Logs of some offline users: nothing of the others' is read but the history, and only the table's worlds know them."""

import dataclasses
import io

import jax
import numpy as np
import polars as pl
import pytest
from made_tables import tiny_dataset
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import offline_popularity, offline_users
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.judges import build_judge
from ialp_jax.preferences.states import user_states
from ialp_jax.recommenders.factors import FactorsConfig, offline_factors
from ialp_jax.recommenders.neighbours import NeighboursConfig, fit_neighbours
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import apply
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.logged import history_sessions
from ialp_jax.worlds.histories import sampled_histories

LOGGED = 6


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset(logged_users=LOGGED)


def altered(dataset, part):
    """The dataset in which the profiled users touched other items, with other grades, in one part of their logs."""
    theirs = dataset.users.filter(pl.col("split") == "profiled")["user"].to_list()
    return changed(dataset, pl.col("user").is_in(theirs) & (pl.col("part") == part))


def changed(dataset, chosen):
    """The dataset in which the users of these interactions touched other items, with other grades."""
    free = (pl.col("item") + dataset.num_items // 2) % dataset.num_items
    frame = dataset.interactions.with_columns(
        item=pl.when(chosen).then(free).otherwise(pl.col("item")),
        grade=pl.when(chosen).then(1.0 - pl.col("grade")).otherwise(pl.col("grade")).cast(pl.Float32),
    ).unique(["user", "item"], keep="last", maintain_order=True)
    frame = frame.with_columns(position=pl.int_range(pl.len()).over("user").cast(pl.Int32))
    return dataclasses.replace(dataset, interactions=frame)


READERS = {
    "popularity": offline_popularity,
    "factors": lambda dataset: dataclasses.astuple(
        offline_factors(dataset, FactorsConfig(rank=3, iterations=4))
    ),
    "neighbours": lambda dataset: fit_neighbours(dataset, NeighboursConfig()),
    "sessions of the logs": lambda dataset: history_sessions(dataset, 4, 8, True),
    "openings": lambda dataset: sampled_histories(dataset, user_states(dataset).users, 4, 3, 0),
    "judge": lambda dataset: list(build_judge("content", dataset).info.settings.values()),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_logs_of_profiled_users_are_not_read(dataset, reader):
    plain, other = (
        [np.asarray(leaf) for leaf in jax.tree.leaves(reader(logs))]
        for logs in (dataset, altered(dataset, "held_out"))
    )
    assert not dataset.interactions.equals(altered(dataset, "held_out").interactions)
    for before, after in zip(plain, other, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_what_was_done_with_new_items_is_not_read(reader):
    dataset = tiny_dataset(new_items=0.3)
    unread = dataset.interactions.filter(pl.col("part") == "unread")
    fewer = dataset.interactions.filter(pl.col("part") != "unread")
    fewer = fewer.with_columns(position=pl.int_range(pl.len()).over("user").cast(pl.Int32))
    other = dataclasses.replace(dataset, interactions=fewer)
    assert unread["item"].n_unique() == round(0.3 * dataset.num_items) and not fewer.equals(
        dataset.interactions
    )
    plain, without = (
        [np.asarray(leaf) for leaf in jax.tree.leaves(reader(logs))] for logs in (dataset, other)
    )
    for before, after in zip(plain, without, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.isin(user_states(dataset).items, unread["item"]).any()
    assert not offline_popularity(dataset)[unread["item"].to_numpy()].any()


def test_the_table_judges_them_by_their_histories(dataset):
    states = user_states(dataset)
    assert len(offline_users(dataset)) == LOGGED < states.users.size
    assert not np.array_equal(user_states(altered(dataset, "history")).items, states.items)


def test_in_the_world_of_both_their_rewards_are_the_tables(dataset, tmp_path):
    config = apply(
        StudyConfig(methods=("ialp",)), {"logs_world.calibrated": False, "preferences.logs_half": 0.0}
    )
    config = dataclasses.replace(
        config, preferences=dataclasses.replace(config.preferences, candidates=CandidateConfig(20, 10, 5))
    )
    inputs = Inputs(dataset, config, tmp_path, Console(file=io.StringIO()))
    logged = np.isin(inputs.table.users, offline_users(dataset))
    mixed, table = (np.asarray(world.ratings.table) for world in (inputs.mixed_world, inputs.llm_world))
    np.testing.assert_array_equal(mixed[~logged], table[~logged])
    assert np.any(mixed[logged] != table[logged], axis=1).all()


def test_without_any_logs_what_reads_them_is_refused(dataset):
    users = dataset.users.with_columns(split=pl.col("split").replace("offline", "profiled"))
    with pytest.raises(InputError, match=r"data\.logged_users: there are no logs of offline users.*Fix"):
        offline_popularity(dataclasses.replace(dataset, users=users))
