"""Small and degenerate logs: a penalty that leaves users their taste, and what is said where nothing can be learnt or measured."""

import io
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from ialp_jax.artifacts import plain
from ialp_jax.data.build import DataConfig, RawLogs, build
from ialp_jax.environments import Environment, check
from ialp_jax.methods import get
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.stages import stages_of
from ialp_jax.worlds.fit.accuracy import accuracies
from ialp_jax.worlds.fit.affinity import fold
from ialp_jax.worlds.fit.config import FitConfig
from ialp_jax.worlds.fit.factors import fit_factors, hold_out, observed_pairs
from ialp_jax.worlds.fit.fit import fit_world
from ialp_jax.worlds.fit.settled import WEAKER, settle

USERS = ITEMS = 60  # one shape, so that one program serves all tests
KINDS = 4
FIT = FitConfig(rank=4, iterations=8)


def logs(each=18, taste=0.8, source="logs", zeros="ignored", declined=0, **changes):
    """Users who like one of four kinds of items, to which `taste` of what they used belongs."""
    generator = np.random.default_rng(1)
    rows = []
    for user in range(USERS):
        own = np.arange(ITEMS) % KINDS == user % KINDS
        chance = np.where(own, taste / own.sum(), (1 - taste) / (~own).sum())
        met = generator.choice(ITEMS, each + declined, replace=False, p=chance if each < ITEMS else None)
        rows += [(f"u{user}", f"i{item}", float(place < each)) for place, item in enumerate(met)]
    frame = pl.DataFrame(rows, schema=["user", "item", "value"], orient="row").with_row_index("file_row")
    names = [f"i{item}" for item in range(ITEMS)]
    items = pl.DataFrame({"raw_id": names, "title": names, "text": "", "categories": [["a"]] * ITEMS})
    raw = RawLogs("made", source, "generic", "implicit", (0.0, 1.0), "hours", None, frame, items, **changes)
    return build(raw, DataConfig(k_core=1, history_length=4, zeros=zeros))


def tastes(dataset, config):
    """Mean affinity for items of users' own kind less that for others."""
    users, items = fold(fit_factors(dataset, config), 1.0)
    kind = dataset.items["raw_id"].str.slice(1).cast(int).to_numpy() % KINDS
    own = kind == (dataset.users["raw_id"].str.slice(1).cast(int).to_numpy() % KINDS)[:, None]
    affinity = users @ items.T
    return affinity[own].mean() - affinity[~own].mean()


@pytest.fixture(scope="module")
def small():
    return logs()


def test_small_logs_get_the_penalty_with_the_highest_held_out_auc(small):
    settled = settle(small, FIT)
    aucs = {}
    for share in WEAKER:
        config = replace(FIT, regularisation=3.0 * share)
        aucs[config.regularisation] = (
            accuracies(small, config, hold_out(small, config)).of["factorisation"].auc
        )
    assert settled.config.regularisation == max(aucs, key=aucs.get)
    assert settled.accuracy.of["factorisation"].auc == max(aucs.values()) > 0.65
    assert settled.blind_auc < 0.55
    assert tastes(small, FIT) < 0.01 < 0.1 < tastes(small, settled.config)
    _, report = fit_world(small, FIT, 4)
    assert report.regularisation == settled.config.regularisation
    (said,) = report.cautions
    assert said.startswith("fit.regularisation is 1, not 3, with which the users' world would be user-blind")


@pytest.mark.parametrize(
    ("changes", "config"), [({"source": "synthetic"}, FIT), ({}, replace(FIT, weaken=False))]
)
def test_where_the_penalty_stays_the_world_is_called_user_blind(changes, config):
    _, report = fit_world(logs(**changes), config, 4)
    assert report.regularisation == 3.0
    assert [said.partition(":")[0] for said in report.cautions] == ["The users' world is user-blind"]


def test_a_penalty_that_suits_the_logs_stays(small):
    _, report = fit_world(small, replace(FIT, regularisation=0.3), 4)
    assert report.regularisation == 0.3 and not report.cautions


def test_no_penalty_makes_tastes_that_the_logs_do_not_have():
    _, report = fit_world(logs(taste=0.25), FIT, 4)
    assert report.regularisation == 3.0 and "user-blind" in report.cautions[0]


def test_what_is_not_measurable_is_null_and_said():
    _, report = fit_world(logs(each=ITEMS), FIT, 4)
    assert {name: accuracy.auc for name, accuracy in report.held_out.items()} == dict.fromkeys(
        ("world", "factorisation", "popularity", "mean")
    )
    assert [said.split(" ")[0] for said in report.cautions] == ["Every", "Held-out"]
    assert "is not measurable (no user is left an item" in report.cautions[1]
    json.dumps(plain(report), allow_nan=False)


@pytest.mark.parametrize(
    ("ratings", "said"),
    [
        (np.full((USERS, ITEMS), 0.5), "Every user gives every item the same rating"),
        (np.tile(np.linspace(0, 1, ITEMS), (USERS, 1)), "All users rate alike"),
    ],
)
def test_a_matrix_of_which_nothing_can_be_learnt_is_named(small, ratings, said):
    given = replace(small, known_ratings=ratings.astype(np.float32))
    _, report = fit_world(given, FIT, 4)
    assert len(report.cautions) == 1 and report.cautions[0].startswith(said)
    json.dumps(plain(report), allow_nan=False)


def test_dislikes_lower_what_users_are_thought_to_like(small):
    dataset = logs(zeros="disliked", declined=6)
    observed = observed_pairs(dataset, FIT, dataset.interactions, dataset.disliked)
    assert len(observed.users) == USERS * 24 and observed.targets.sum() == USERS * 18
    assert set(observed.weights[observed.targets == 0]) == {1.0}
    plainly = observed_pairs(small, FIT, small.interactions, small.disliked)
    assert len(plainly.users) == small.num_interactions and plainly.targets.all()
    pairs = dataset.disliked["user"].to_numpy(), dataset.disliked["item"].to_numpy()
    ignored = replace(dataset, disliked=dataset.disliked.clear())
    config = replace(FIT, regularisation=0.3)
    scores = [
        np.einsum("uk,uk->u", users[pairs[0]], items[pairs[1]]).mean()
        for users, items in (fold(fit_factors(one, config), 1.0) for one in (ignored, dataset))
    ]
    assert scores[1] < scores[0] - 0.05


def inputs(dataset, out, said=None, **fit):
    config = StudyConfig(methods=("random",), fit=replace(FIT, **fit))
    return Inputs(dataset, config, out, Console(file=said or io.StringIO(), width=1000))


def test_a_stage_is_another_one_in_a_world_of_another_penalty(small, tmp_path):
    made = inputs(small, tmp_path)
    (stage,) = stages_of(get("random"), made.config)
    assert made.sources(stage)["regularisation"] == "1.0"
    for dataset, fit in ((small, {"regularisation": 0.3}), (logs(source="synthetic"), {})):
        assert inputs(dataset, tmp_path, **fit).sources(stage).keys() == {"dataset", "table"}


def test_check_and_terminal_say_the_same(tmp_path, monkeypatch):
    dataset, said = logs(declined=2), io.StringIO()
    made = inputs(dataset, tmp_path, said)
    cautions = made.fit.cautions
    assert len(cautions) == 2 and "have 0 hours: they are ignored" in cautions[0]
    assert all(caution in said.getvalue() for caution in cautions)
    monkeypatch.setattr(check, "check_world", lambda *_: [])
    lines = check.check_environment(Environment("made", data=DataConfig(history_length=4), fit=FIT), dataset)
    assert [(line.detail, line.passed, line.warning) for line in lines] == [
        (caution, True, True) for caution in cautions
    ]


@pytest.mark.parametrize("passed", [True, False])
def test_a_check_that_failed_is_not_said_again_as_a_caution(small, monkeypatch, passed):
    given = replace(small, known_ratings=np.full((USERS, ITEMS), 0.5, np.float32))
    line = check._ratings_differ(None, fit_world(given, FIT, 4)[0])
    assert not line.passed
    monkeypatch.setattr(check, "check_world", lambda *_: [replace(line, passed=passed)])
    lines = check.check_environment(Environment("made", data=DataConfig(history_length=4), fit=FIT), given)
    assert ["Every user gives" in one.detail for one in lines[1:]] == [True] * passed
