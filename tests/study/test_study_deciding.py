"""Logs or texts where a configuration says auto: what is compared, what is decided, and that nothing else changes."""

import dataclasses
import io

import jax
import numpy as np
import polars as pl
import pytest
from made_tables import tiny_dataset
from rich.console import Console

from ialp_jax.artifacts import InputError, write_json
from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import offline_users, without_logs
from ialp_jax.data.synthetic import SyntheticConfig
from ialp_jax.environments import Environment
from ialp_jax.methods import get
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.recommenders.factors import FactorsConfig
from ialp_jax.study import deciding
from ialp_jax.study.calibrated import told_of_users
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.deciding import decide
from ialp_jax.study.decision import (
    LOGS,
    TEXTS,
    UNDECIDED,
    Decision,
    concrete,
    decided_values,
    open_questions,
    recorded,
)
from ialp_jax.study.fields import apply
from ialp_jax.study.held_out import affinities_of_others, turns_by_user
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.run import Study
from ialp_jax.study.stages import stages_of, static_key
from ialp_jax.testing.tiny import SMALL, tiny_config
from ialp_jax.worlds.simulator import SimulatorConfig

BOTH = ("likeness", "start")
CONFIG = StudyConfig(
    methods=("a2c", "ialp"), simulator=SimulatorConfig(turn_cap=4), policy=PolicyConfig(embedding=4, hidden=4),
    factors=FactorsConfig(rank=3, regularisation=0.3, iterations=4),
)  # fmt: skip


def study(methods, **changes):
    """A study of these methods, and all their stages."""
    config = apply(StudyConfig(methods=methods), changes)
    return config, [stage for entry in config.entries for stage in stages_of(entry, config)]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Inputs whose recorded users are few; they may be read, not changed."""
    config = apply(CONFIG, {"logged.sessions": 24})
    return Inputs(
        tiny_dataset(logged_users=6),
        config,
        tmp_path_factory.mktemp("few"),
        Console(file=io.StringIO(), width=1000),
    )


@pytest.mark.parametrize(
    ("methods", "changes", "questions"),
    [
        (("random", "popular", "oracle"), {}, set()),
        (("a2c",), {}, {"likeness", "start"}),
        (("a2c",), {"methods.a2c.look": False}, {"start"}),
        (("a2c",), {"policy.item_start": "factors"}, {"likeness"}),
        (("a2c",), {"policy.item_start": "both", "likeness.source": "text"}, set()),
        (("mf_planner",), {}, {"likeness"}),
        (("random", "ialp"), {"policy.item_start": "text", "likeness.source": "text"}, {"start"}),
    ],
)
def test_only_what_is_auto_and_read_is_decided(methods, changes, questions):
    assert open_questions(*study(methods, **changes)) == questions


def test_what_auto_stands_for():
    config = study(("ialp", "a2c"))[0]
    held = {"policy.item_start": "factors", "likeness.source": "logs", "methods.ialp.world": "mixed"}
    assert decided_values(config, UNDECIDED) == held
    texts = Decision(TEXTS, TEXTS)
    values = {"policy.item_start": "text", "likeness.source": "text", "methods.ialp.world": "table"}
    # Nothing was read off so few sessions: what the table's world assumes is kept apart, or what was asked for.
    assert decided_values(config, texts) == values | {"likeness.percentile": 5.0}
    assert decided_values(apply(config, {"likeness.percentile": 9.0}), texts) == values
    assert decided_values(apply(config, held), texts) == {}
    mixed = decided_values(config, Decision(TEXTS, LOGS))
    assert mixed == held | {"likeness.source": "text", "likeness.percentile": 5.0}
    assert (
        concrete(concrete(config, texts))
        == concrete(config, texts)
        == apply(config, decided_values(config, texts))
    )


def test_stages_are_those_of_the_values_it_stands_for():
    """The logs' values are the defaults of before: what was trained with them is found again."""
    held = {"policy.item_start": "factors", "likeness.source": "logs", "methods.ialp.world": "mixed"}
    keys = []
    for config in (concrete(CONFIG), apply(CONFIG, held), concrete(CONFIG, Decision(TEXTS, LOGS))):
        stages = [stage for name in ("a2c", "ialp") for stage in stages_of(get(name), config)]
        keys.append([static_key(stage, config) for stage in stages])
    assert keys[0] == keys[1] and not set(keys[0]) & set(keys[2])


def test_a_decision_is_read_back_as_it_was_written(tmp_path):
    decision = Decision(TEXTS, LOGS, ("policy.item_start",), ("start",), ("So it is.",), "made of this")
    file = tmp_path / "config.json"
    assert recorded(file) is None
    for record, expected in ((decision.record(), decision), (UNDECIDED.record(), None)):
        write_json(file, record)
        assert recorded(file) == expected
    write_json(file, {"decided": decision.record()["decided"] | {"start": "dice"}})
    with pytest.raises(InputError, match=r"config\.json.*dice"):
        recorded(file)


def test_turns_go_with_the_user_whose_history_opened_them(few):
    turns = turns_by_user(few.dataset, few.recorded)
    items = np.asarray(few.recorded.window.items)[:, 0]
    session = np.asarray(few.recorded.turns)[:, 0]
    latest = (
        few.dataset.interactions.filter(pl.col("part") == "history")
        .group_by("user")
        .agg(pl.col("item").last())
    )
    last_item = dict(latest.iter_rows())
    for turn, user in enumerate(turns.user):
        assert {last_item[one] for one in turns.offline[user].tolist()} == {items[session[turn], -1]}
    assert set(np.concatenate(turns.offline)) <= set(offline_users(few.dataset))
    assert len(turns.user) == len(turns.feedback) == int(np.sum(few.recorded.length))


def test_a_users_own_log_says_nothing_of_that_users_turns(few):
    """What they did after their history is in the logs of all others, and in none that their turns are predicted by."""
    turns, factors = turns_by_user(few.dataset, few.recorded), few.config.factors
    one = turns.offline[0]
    theirs = pl.col("user").is_in(one.tolist()) & (pl.col("part") == "held_out")
    rows = few.dataset.interactions.with_columns(
        grade=pl.when(theirs).then(0.0).otherwise(pl.col("grade")).cast(pl.Float32)
    )
    other = dataclasses.replace(few.dataset, interactions=rows)
    before, after = (
        affinities_of_others(logs, factors, few.recorded, turns) for logs in (few.dataset, other)
    )
    np.testing.assert_array_equal(before[turns.user == 0], after[turns.user == 0])
    assert not np.allclose(before[turns.user != 0], after[turns.user != 0], atol=1e-6)


def test_withheld_logs_are_not_read_and_histories_still_are():
    dataset = tiny_dataset()
    first, *others = offline_users(dataset)
    rest = without_logs(dataset, np.array([first]))
    assert offline_users(rest).tolist() == others
    assert rest.users.filter(pl.col("user") == first)["split"].item() == "profiled"
    assert without_logs(rest, np.array([first])).users.equals(rest.users)


def test_few_recorded_sessions_leave_it_to_the_texts_and_many_to_the_logs(tmp_path):
    """A hundred and fifty invented users who leave by likeness: of five nobody can tell, of all it is plain."""
    environment = Environment(
        "x", synthetic=SyntheticConfig(num_users=150, num_items=60, mean_interactions=12.0)
    )
    decisions = {}
    for logged, sessions in ((5, 10), (None, 600)):
        data = DataConfig(k_core=2, history_length=4, logged_users=logged)
        changes = {"logged.sessions": sessions, "simulator.turn_cap": 10, "factors.regularisation": 1.0}
        config = dataclasses.replace(apply(CONFIG, changes), data=data)
        made = Inputs(
            environment.dataset(None, data, "tiny"),
            config,
            tmp_path / str(logged),
            Console(file=io.StringIO()),
        )
        decisions[logged] = decide(made)
    assert decisions[None].likeness == decisions[None].start == LOGS and decisions[5].likeness == TEXTS
    assert (
        "end by them" in decisions[None].statements[0]
        and "sessions of 5 offline users are too few" in decisions[5].statements[0]
    )
    assert decisions[5].questions == BOTH and set(decisions[5].asked) == set(
        decided_values(CONFIG, UNDECIDED)
    )


@pytest.fixture(scope="module")
def enough(tmp_path_factory):
    """The same with as many users as tell a judge that knows from logs that guess."""
    config = apply(CONFIG, {"likeness.source": "text", "logged.sessions": 80})
    return Inputs(
        tiny_dataset(logged_users=20), config, tmp_path_factory.mktemp("enough"), Console(file=io.StringIO())
    )


@pytest.mark.parametrize(("knows", "start"), [(True, TEXTS), (False, LOGS)])
def test_policies_start_from_the_texts_where_the_table_clearly_ranks_answers_better(enough, knows, start):
    """A table that knows every answer against one that knows none, beside the same few logs."""
    turns = turns_by_user(enough.dataset, enough.recorded)
    scores = np.zeros((enough.dataset.num_users, enough.dataset.num_items))
    for user, item, feedback in zip(turns.user, turns.item, turns.feedback, strict=True):
        scores[turns.offline[user][0], item] = feedback if knows else -feedback
    made = Inputs(enough.dataset, enough.config, enough._out, enough._console)
    made.__dict__ |= {"recorded": enough.recorded, "table_scores": scores}
    decision = decide(made)
    assert (decision.start, decision.likeness, decision.questions) == (start, TEXTS, ("start",))
    assert f"ranks what they liked at {1.0 if knows else 0.0:.2f}" in decision.statements[0]


def test_start_follows_the_logs_where_these_say_what_is_kept_apart(few):
    made = Inputs(few.dataset, apply(CONFIG, {"likeness.source": "logs"}), few._out, few._console)
    assert decide(made).start == LOGS and not made.has_table


def test_what_a_decision_read_is_counted_and_said():
    """With a percentile nothing but the decision reads recorded sessions."""
    config, stages = study(("a2c",), **{"likeness.percentile": 20.0, "methods.a2c.look": False})
    config = concrete(config)
    assert told_of_users(stages, config) == [] and told_of_users(stages, config, ["likeness"]) == []
    (said,) = told_of_users(stages, config, ["start"])
    assert "recorded sessions" in said


def test_a_run_that_is_gone_on_with_has_decided_already(tmp_path, monkeypatch):
    """Unless it is asked to decide from something else, or to start anew."""
    config = apply(tiny_config(("mf_planner",), SMALL), {"likeness.source": "auto"})
    decide, calls = deciding._likeness, []
    monkeypatch.setattr(deciding, "_likeness", lambda inputs: calls.append(1) or decide(inputs))
    for resume, times in ((False, 1), (True, 1), (False, 2)):
        said = run_study(config, tmp_path / "out", resume)
        assert "say what is kept apart" in said and len(calls) == times
    with pytest.raises(InputError, match="another configuration"):
        run_study(apply(config, {"logged.sessions": 9}), tmp_path / "out", True)
    assert len(calls) == 3


def run_study(config, out, resume):
    """Runs it; returns what was said."""
    console = Console(file=io.StringIO(), width=1000)
    with jax.debug_key_reuse(False):
        Study("small", SMALL, None, config, out, resume).run(console)
    return console.file.getvalue()
