"""A study from a finished preference table: what it may be, what is kept of it, what is said about it."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from made_tables import DOUBLE, LLM, make_table, tiny_dataset
from rich.console import Console

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.candidates import CandidateConfig
from ialp_jax.preferences.quality.gate import GateConfig
from ialp_jax.preferences.states import of_users, user_states
from ialp_jax.report.headline import judge_statement
from ialp_jax.report.quality import quality_digest, quality_facts, quality_table
from ialp_jax.study.config import PreferenceConfig
from ialp_jax.study.imagined import scores_of_all
from ialp_jax.study.table import finished_table, judge_record


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def read(directory, dataset, **gate):
    """The table as a study takes it, and what was said."""
    console = Console(file=io.StringIO(), width=500)
    config = PreferenceConfig(gate=GateConfig(**gate))
    return finished_table(directory, dataset, config, console), console.file.getvalue()


def test_a_good_table_is_taken_as_it_is_with_its_costs_and_quality(dataset, tmp_path):
    made = make_table(dataset, tmp_path / "table")
    found, said = read(tmp_path / "table", dataset)
    assert found.table.statements == made.statements and found.failures == ()
    np.testing.assert_array_equal(found.table.score, made.score)
    record = judge_record(found.table)
    assert record["calls"] == record["pairs"] == made.num_judgements > 0 and record["rejected"] == 0
    assert (record["prompt_tokens"], record["computed_tokens"]) == (
        100 * record["pairs"],
        20 * record["pairs"],
    )
    assert judge_statement(record) == (
        "plain",
        "The language model imagined-9b judged the preferences (spy).",
    )
    assert "imagined-9b" in said and "this table 1.000" in said
    assert "The table's AUC less that of popularity on the same pairs is +0." in said
    assert found.gate() == {"passed": True, "failures": []} and found.record()["path"].endswith("table")
    quality = json.loads(json.dumps(found.quality))
    assert quality_digest(quality)["judge_auc"]["mean"] == 1.0
    assert quality_table(quality)["columns"] == ["this table", "content judge", "popularity"]
    assert quality_table(quality)["rows"][1][0] == "this table's AUC less theirs, same pairs"
    assert quality_digest(quality)["auc_over_popularity"]["low"] > 0
    assert ("gate", "passed") in quality_facts(quality, found.gate())
    for name in ("over_popularity", "over_content"):  # a table that a version before measured
        del quality[name]
    assert quality_table(quality)["rows"][1][0] == "AUC without item means"
    assert quality_digest(quality)["auc_over_popularity"] is None


def test_equal_questions_with_other_answers_are_another_table(dataset, tmp_path):
    for name, shift in (("one", 0.0), ("same", 0.0), ("other", 0.01)):
        make_table(dataset, tmp_path / name, shift=shift)
    one, same, other = (read(tmp_path / name, dataset)[0] for name in ("one", "same", "other"))
    assert one.fingerprint == same.fingerprint == other.fingerprint
    assert one.content == same.content != other.content


def test_a_table_of_other_logs_is_refused(dataset, tmp_path):
    make_table(tiny_dataset(seed=1), tmp_path / "table")
    with pytest.raises(
        InputError, match=r"table: this table is about other logs .* ENV, DATA and --data\.\*"
    ):
        read(tmp_path / "table", dataset)


def test_online_users_may_not_feed_pre_training(dataset, tmp_path):
    make_table(dataset, tmp_path / "table", split="online")
    with pytest.raises(InputError, match=r"table: (\d+) of its \1 users are online users"):
        read(tmp_path / "table", dataset)


def test_a_failing_gate_stops_the_study_or_is_said(dataset, tmp_path):
    make_table(dataset, tmp_path / "table", DOUBLE, knows=False)
    with pytest.raises(InputError, match=r"table: .*not good enough.*different scores.*GATE=0"):
        read(tmp_path / "table", dataset)
    found, said = read(tmp_path / "table", dataset, enforce=False)
    assert found.table.statements[-1].startswith("The table did not pass the gate: ")
    assert "different scores" in found.table.statements[-1] and found.table.statements[-1] in said
    assert found.gate()["passed"] is False and "TEST DOUBLE" in said


def test_users_without_a_row_are_said_and_read_their_neighbours(dataset, tmp_path):
    offline = user_states(dataset)
    make_table(dataset, tmp_path / "table", states=12)
    found, said = read(tmp_path / "table", dataset)
    assert f"Only 12 of {offline.users.size} offline users were judged" in said + found.table.statements[-1]
    judged = of_users(offline, found.table.users)
    np.testing.assert_array_equal(judged.users, found.table.users)
    scores, _ = found.table.dense()
    known = scores_of_all(dataset, scores, judged.users, neighbours=3)
    np.testing.assert_array_equal(known[judged.users], scores)
    others = np.setdiff1d(np.arange(dataset.num_users), judged.users)
    assert others.size == dataset.num_users - 12 and np.all(known[others].max(axis=1) > 0)
    assert np.all(known[others] <= scores.max(axis=0) + 1e-6)


def test_the_states_of_some_users_keep_their_histories(dataset):
    states = user_states(dataset)
    chosen = of_users(states, states.users[[7, 2]])
    np.testing.assert_array_equal(chosen.users, states.users[[7, 2]])
    np.testing.assert_array_equal(chosen.items, states.items[[7, 2]])
    np.testing.assert_array_equal(chosen.grades, states.grades[[7, 2]])


def test_a_user_of_whom_every_pair_was_rejected_counts_as_not_judged(dataset, tmp_path):
    made = make_table(dataset, tmp_path / "table", rejects=(1,))
    found, _ = read(tmp_path / "table", dataset, rejected=1.0)
    np.testing.assert_array_equal(found.table.users, np.delete(made.users, 1))
    np.testing.assert_array_equal(found.table.dense()[0], np.delete(made.dense()[0], 1, axis=0))
    assert "offline users were judged" in found.table.statements[-1] and found.table.rejected > 0


@pytest.mark.parametrize(
    ("finished", "field", "changes"),
    [
        (True, "preferences.candidates", {"candidates": CandidateConfig(similar=3)}),
        (True, "preferences.popularity_prior", {"popularity_prior": False}),
        (False, "preferences.gate", {"gate": GateConfig(enforce=False)}),
    ],
)
def test_settings_without_effect_are_refused(finished, field, changes):
    config = PreferenceConfig(**changes)
    with pytest.raises(InputError, match=rf"{field}: it only concerns"):
        config.check_source(finished)
    config.check_source(not finished)


def test_the_seed_that_shuffles_is_not_the_content_judges_alone():
    PreferenceConfig(candidates=CandidateConfig(seed=3)).check_source(finished=True)


def test_a_small_model_trained_on_logs_is_not_called_an_llm(dataset, tmp_path):
    info = replace(LLM, is_llm=False, statement="It was trained on other users' logs.")
    record = judge_record(make_table(dataset, tmp_path / "table", info))
    severity, sentence = judge_statement(record)
    assert severity == "warning" and sentence.startswith("No general LLM judged")
    assert "imagined-9b" in sentence and sentence.endswith("It was trained on other users' logs.")
