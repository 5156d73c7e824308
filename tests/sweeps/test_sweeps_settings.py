"""Settings: changing a study by dotted names, what may be swept, and commands that are read back as the same study."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.commands.train import Train
from ialp_jax.methods.named.a_ialp_ap_mixture import MixtureConfig
from ialp_jax.naming import label, short_names
from ialp_jax.policies.encoders import ENCODERS
from ialp_jax.study.arguments import parse
from ialp_jax.study.command import command
from ialp_jax.study.config import StudyConfig, preset
from ialp_jax.study.fields import apply, fields_of, kind_of
from ialp_jax.sweeps.reading import read_space
from ialp_jax.sweeps.settings import affects, check_space
from ialp_jax.sweeps.space import Axis, Search, Space

STEAM = preset(environments.get("steam")[1], "quick")
ENTROPY = Axis("methods.a2c.entropy", (0.01, 0.1))


def space(*axes, method="a2c", fixed=None, kind="random", count=2):
    return Space(method, "mean_reward", 2, Search(kind, None if kind == "grid" else count), fixed or {}, axes)


def refusal(wanted):
    with pytest.raises(InputError) as caught:
        check_space(wanted, STEAM, Path("space.toml"))
    return str(caught.value)


def parsed(text):
    """What `ialp train` makes of a command, as commands/train.py reads it."""
    program, word, *arguments = shlex.split(text)
    assert (program, word) == ("ialp", "train")
    return parse(Train, arguments, "ialp train")[0]


def test_fields_have_dotted_names_and_types():
    names = fields_of(STEAM)
    assert len(names) == len(set(names)) and len(names) > 80
    assert {"seeds", "online.users", "methods.a2c.learning_rate", "preferences.candidates.similar"} <= set(
        names
    )
    assert kind_of(STEAM, "online.users") is int
    assert kind_of(STEAM, "preferences.threshold") == float | None
    assert kind_of(STEAM, "policy.encoder") == Literal[tuple(ENCODERS)]
    assert kind_of(STEAM, "simulator.rules") == tuple[str, ...]


def test_changes_are_applied_and_everything_else_stays():
    changed = apply(STEAM, {
        "methods.a2c.learning_rate": 1, "online.users": 32, "fit.grades": [0, 1], "fit.grade_percentiles": (90,),
        "preferences.threshold": 0.5, "preferences.candidates.similar": 7, "methods.a_ialp_ap_mixture.schedule": "learnt",
        "preferences.shuffle": True, "fit.rating_floor": "none",
    })  # fmt: skip
    a2c, mixture = STEAM.options.a2c, STEAM.options.a_ialp_ap_mixture
    wanted = replace(
        STEAM,
        options=replace(
            STEAM.options,
            a2c=replace(a2c, hyper=a2c.hyper.replace(learning_rate=1.0)),
            a_ialp_ap_mixture=replace(mixture, config=MixtureConfig("learnt")),
        ),
        online=replace(STEAM.online, users=32),
        fit=replace(STEAM.fit, grades=(0.0, 1.0), grade_percentiles=(90.0,), rating_floor=None),
        preferences=replace(STEAM.preferences, threshold=0.5, shuffle=True,
                            candidates=replace(STEAM.preferences.candidates, similar=7)),
    )  # fmt: skip
    assert changed == wanted
    assert type(changed.options.a2c.hyper.learning_rate) is float and type(changed.fit.grades[0]) is float
    assert apply(STEAM, {}) == STEAM


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("methods.a2c.learning_rat", 0.1, "methods.a2c.learning_rate"),
        ("learning_rate", 0.1, "methods.a2c.learning_rate"),
        ("methods.a2c", 0.1, "methods.a2c.learning_rate"),
        ("scratch_hyper.learning_rate", 0.1, "has another name now. Fix: use methods.a2c.learning_rate"),
        ("adapt_hyper.kappa", 0.1, "methods.a_ialp_ap_value.kappa"),
        ("mixture_weight", "learnt", "methods.a_ialp_ap_mixture.schedule"),
        ("zzz", 0.1, "--help"),
        ("online.users", 64.0, "a whole number"),
        ("online.users", True, "a whole number"),
        ("online.users", 0, "1 or more"),
        ("methods.a2c.discount", 1.5, "0 or more and at most 1"),
        ("methods.a2c.learning_rate", 0.0, "above 0"),
        ("methods.a2c.learning_rate", float("nan"), "a finite number"),
        ("methods.a2c.learning_rate", None, "a finite number"),
        ("methods.a2c.learning_rate", float("inf"), "not a finite number"),
        ("methods.a_ialp_ap_mixture.weight", 1.0, "below 1"),
        ("preferences.shuffle", 1, "true or false"),
        ("policy.encoder", "lstm", f"one of {', '.join(ENCODERS)}"),
        ("policy.encoder", ["gru"], f"one of {', '.join(ENCODERS)}"),
        ("simulator.rules", "distance", "a list"),
        ("simulator.rules", ["weather"], "unknown departure rule"),
        ("data.k_core", 0, "1 or more"),
        ("fit.grades", [0, 1], "do not fit"),
    ],
)
def test_a_wrong_change_is_refused(name, value, problem):
    with pytest.raises(InputError) as caught:
        apply(STEAM, {name: value})
    assert problem in str(caught.value)


def test_infinity_is_a_number_where_the_range_has_it():
    changed = apply(STEAM, {"methods.ialp.supervised_share": float("inf")})
    assert changed.method("ialp").hyper.supervised_share == float("inf")


@pytest.mark.parametrize(
    ("method", "yes", "no"),
    [
        ("a2c", ["methods.a2c.entropy", "online.users", "policy.hidden", "fit.rank", "likeness.window", "factors.rank", "logged.sessions"],
         ["pretrain.users", "preferences.fraction", "evaluation.fixed_share", "loop.checkpoint_seconds", "logs_world.calibrated"]),
        ("ialp", ["methods.ialp.entropy", "preferences.fraction", "pretrain.users", "evaluation.fixed_share"],
         ["prior.neighbours"]),
        ("a_ialp_ft", ["methods.a_ialp_ft.entropy", "methods.ialp.entropy", "preferences.fraction"],
         ["evaluation.fixed_share"]),
        ("table_greedy", ["prior.neighbours", "evaluation.fixed_share"], ["pretrain.users"]),
    ],
)  # fmt: skip
def test_which_fields_a_method_uses(method, yes, no):
    config = replace(STEAM, methods=(method,))
    assert {name: affects(method, config, name) for name in yes + no} == {
        **dict.fromkeys(yes, True),
        **dict.fromkeys(no, False),
    }


def test_what_is_kept_apart_may_be_swept_where_something_is():
    """Not where [fixed] says that nothing is kept apart."""
    axis = Axis("likeness.percentile", (10.0, 30.0))
    assert "it has no effect on a2c" in refusal(space(axis, fixed={"methods.a2c.look": False}))
    assert check_space(space(axis), STEAM).axes[0].values == (10.0, 30.0)
    both = check_space(space(Axis("methods.a2c.look", (False, True)), axis), STEAM)
    assert [one.name for one in both.axes] == ["methods.a2c.look", "likeness.percentile"]
    assert "at most 100" in refusal(
        space(Axis("likeness.percentile", (10.0, 130.0)), fixed={"methods.a2c.look": True})
    )


@pytest.mark.parametrize("method", ["a2c", "a_ialp_ft", "a_ialp_ap_mixture"])
def test_a_sweep_has_the_options_of_its_method_and_of_those_it_builds_on(method):
    offered = {
        name.split(".")[1]
        for name in fields_of(replace(STEAM, methods=(method,)))
        if name.startswith("methods.")
    }
    assert offered == {method} if method == "a2c" else {method, "ialp"}


def test_a_checked_space_has_the_types_of_the_fields():
    users, rate = (
        Axis("online.users", low=32.0, high=256.0),
        Axis("methods.a2c.learning_rate", low=1.0, high=2.0),
    )
    wanted = space(
        Axis("methods.a2c.entropy", (0, 1)), users, rate, fixed={"fit.rank": 4, "methods.a2c.trace": 1}
    )
    found = check_space(wanted, STEAM)
    assert [axis.integer for axis in found.axes] == [False, True, False]
    assert [type(value) for value in found.axes[0].values] == [float, float]
    assert type(found.fixed["methods.a2c.trace"]) is float and found.fixed["fit.rank"] == 4
    assert check_space(found, STEAM) == found


def axis(name, low=1.0, high=2.0, **more):
    return Axis(name, low=low, high=high, **more)


@pytest.mark.parametrize(
    ("wanted", "field", "problem"),
    [
        (space(ENTROPY, fixed={"seeds": 3}), "seeds", "top of the file"),
        (space(ENTROPY, fixed={"methods": ("a2c",)}), "methods", "top of the file"),
        (space(ENTROPY, fixed={"methods.a_ialp_ft.entropy": 0.1}), "methods.a_ialp_ft.entropy", "no such field"),
        (space(ENTROPY, fixed={"online.updates": 7}), "online.updates", "not a multiple"),
        (space(ENTROPY, fixed={"loop.checkpoint_seconds": 1}), "loop.checkpoint_seconds", "no effect"),
        (space(axis("pretrain.users")), "pretrain.users", "no effect on a2c"),
        (space(axis("adapt_hyper.entropy")), "adapt_hyper.entropy", "another name now"),
        (space(ENTROPY, method="a_ialp_ft"), "methods.a2c.entropy", "methods.a_ialp_ft.entropy"),
        (space(axis("methods.a2c.entropi")), "methods.a2c.entropi", "methods.a2c.entropy"),
        (space(axis("policy.encoder")), "policy.encoder", "only suits numbers"),
        (space(axis("online.users", 1.5, 8.0)), "online.users", "whole low and high"),
        (space(axis("online.users", 0.0, 8.0)), "online.users", "1 or more"),
        (space(axis("methods.a2c.discount", 0.5, 1.5)), "methods.a2c.discount", "out of range"),
        (space(axis("online.users", 1.0, 3.0, points=5), kind="grid"), "online.users", "only 3 of 5 points"),
        (space(axis("online.updates", 100.0, 400.0)), "online.updates", "multiples of loop.chunk"),
        (space(Axis("online.updates", (100, 101))), "online.updates", "not a multiple"),
        (space(Axis("online.updates", (100, 200)), kind="halving", count=9), "online.updates", "decides itself"),
        (space(Axis("loop.chunk", (5, 10))), "loop.chunk", "[fixed]"),
        (space(axis("evaluation.sessions")), "evaluation.sessions", "[fixed]"),
        (space(axis("online.users"), method="ialp"), "online.users", "frozen"),
        (space(axis("fit.popularity_weight"), kind="adaptive"), "fit.popularity_weight", "easiest"),
        (space(axis("methods.a_ialp_ap_mixture.weight_rate"), method="a_ialp_ap_mixture"), "weight_rate", "is learnt"),
        (space(axis("preferences.fraction", 0.1, 0.2), method="ialp", fixed={"preferences.threshold": 0.5}),
         "preferences.fraction", "preferences.threshold is none"),
        (space(axis("methods.ialp.supervised_share", 0.1, 0.9), method="ialp"), "supervised_share", "above 0"),
        (space(ENTROPY, count=3), "search.settings", "only have 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused_with_file_and_field(wanted, field, problem):
    text = refusal(wanted)
    assert field in text and problem in text
    assert "space.toml" in text or "multiple" in text  # the chunks are checked by the study itself


def test_what_depends_on_another_field_may_be_swept_with_it():
    rate = axis("methods.a_ialp_ap_mixture.weight_rate", 0.01, 0.1)
    held = {"methods.a_ialp_ap_mixture.schedule": "learnt"}
    assert check_space(space(rate, method="a_ialp_ap_mixture", fixed=held), STEAM)
    assert check_space(
        space(
            rate,
            Axis("methods.a_ialp_ap_mixture.schedule", ("learnt", "constant")),
            method="a_ialp_ap_mixture",
        ),
        STEAM,
    )
    share = axis("methods.ialp.supervised_share", 0.1, 0.9)
    assert check_space(space(share, axis("methods.ialp.supervised", 0.0, 1.0), method="ialp"), STEAM)
    assert check_space(space(axis("fit.popularity_weight", 0.1, 0.9), kind="sobol"), STEAM)


def test_labels_are_short_and_tell_fields_apart():
    assert label({"methods.a2c.learning_rate": 0.003, "online.users": 64}) == "learning_rate 0.003, users 64"
    mixed = {"online.users": 8, "pretrain.users": 16, "fit.rating_floor": None, "policy.encoder": "gru"}
    assert label(mixed) == "online.users 8, pretrain.users 16, rating_floor none, encoder gru"
    assert label({"fit.grades": (0.0, 1.0), "preferences.shuffle": True}) == "grades (0 1), shuffle true"
    assert short_names(["data.seed", "preferences.candidates.seed"]) == {
        "data.seed": "data.seed", "preferences.candidates.seed": "candidates.seed"}  # fmt: skip
    assert list(short_names(["a.rate", "b.rate", "b.gamma"]).values()) == ["a.rate", "b.rate", "gamma"]
    assert len(set(short_names(fields_of(STEAM)).values())) == len(fields_of(STEAM))


def values_of(name):
    """Values a field can be given, other than by checks of several fields together."""
    kind, text = kind_of(StudyConfig(), name), str(kind_of(StudyConfig(), name))
    if "Literal" in text:
        return st.sampled_from([choice for choice in kind.__args__])
    if name.split(".")[-1] in ("rating_floor", "distance_threshold"):
        number = st.floats(-1e9, 1e9)
        return st.one_of(number, st.none()) if "None" in text else number
    share, count = st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(1, 10**6)
    return {
        bool: st.booleans(), int: count, float: share,
        int | None: st.one_of(count, st.none()), float | None: st.one_of(share, st.none()),
    }[kind]  # fmt: skip


NARROW = {"seeds", "k_core", "rank", "iterations", "held_out_fraction", "regularisation", "unobserved_weight"}
"""Fields whose ranges leave out some of `values_of`."""
FREE = [
    name for name in fields_of(STEAM)
    if "tuple" not in str(kind_of(STEAM, name)) and name.split(".")[-1] not in NARROW
]  # fmt: skip


def test_every_kind_of_field_has_values_to_draw():
    """So that no kind is met for the first time by a lucky draw."""
    assert all(isinstance(values_of(name), st.SearchStrategy) for name in FREE)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_command_is_read_back_as_the_same_study(data):
    of_a2c = [name for name in FREE if not name.startswith("methods.") or name.startswith("methods.a2c.")]
    names = data.draw(st.lists(st.sampled_from(of_a2c), unique=True, max_size=8))
    changes = {name: data.draw(values_of(name), label=name) for name in names}
    text = command("steam", "quick", None, None, "a2c", 3, changes)
    assert parsed(text).study == apply(STEAM, {**changes, "seeds": 3, "methods": ("a2c",)})


@pytest.mark.parametrize("name", [name for name in FREE if kind_of(STEAM, name) is bool])
@pytest.mark.parametrize("value", [True, False])
def test_every_switch_is_read_back(name, value):
    assert parsed(command("steam", "quick", None, None, None, 5, {name: value})).study == apply(
        STEAM, {name: value}
    )


def test_lists_paths_and_odd_names_are_read_back():
    changes = {"simulator.rules": ("distance", "patience"), "fit.grades": (0.0, 0.1 + 0.2, 1.0),
               "fit.grade_percentiles": (50.0, 1e2 / 3 * 2), "data.k_core": None, "fit.rating_floor": -1e-05}  # fmt: skip
    text = command("coat", "full", Path("my logs/coat"), Path("it's/prefs"), "a_ialp_ft", 4, changes)
    train = parsed(text)
    wanted = apply(
        preset(environments.get("coat")[1], "full"), {**changes, "seeds": 4, "methods": ("a_ialp_ft",)}
    )
    assert train.study == wanted
    assert (train.env, train.preset, train.data, train.prefs) == (
        "coat", "full", Path("my logs/coat"), Path("it's/prefs"))  # fmt: skip
    assert (
        parsed(command("coat", "full", None, None, None, 4, {"simulator.rules": ()})).study.simulator.rules
        == ()
    )


def test_a_command_reads_as_a_person_would_write_it():
    changes = {"online.users": 64, "methods.a2c.learning_rate": 0.003, "preferences.shuffle": True}
    assert command("steam", "quick", Path("logs"), None, "a2c", 4, changes) == (
        "ialp train steam --preset quick --data logs --seeds 4 --methods a2c --online.users 64 "
        "--methods.a2c.learning-rate 0.003 --preferences.shuffle"
    )


def test_the_space_that_the_documentation_shows_is_one(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text("utf-8")
    (tmp_path / "space.toml").write_text(text.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    found = check_space(read_space(tmp_path / "space.toml"), STEAM)
    assert found.search.settings == 64 and len(found.axes) == 2
