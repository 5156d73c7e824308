"""Whoever makes a configuration is checked: types, words to choose from and ranges, by what stands on the fields."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
import pytest
from configurations import constrained_fields, dataclasses_of_the_package, made, needed_by
from hypothesis import given, settings
from hypothesis import strategies as st

from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.data.tabular import TabularConfig
from ialp_jax.methods.named.a_ialp_ap_value import ValueChoice, ValueHyper
from ialp_jax.methods.options import options_of
from ialp_jax.ranges import within
from ialp_jax.study.config import StudyConfig, preset
from ialp_jax.study.fields import apply, fields_of, held
from ialp_jax.values import checked, checked_as_a_whole, made_from
from ialp_jax.worlds.fit.config import FitConfig

CONSTRAINED = constrained_fields()
EVERY_CONFIG = {kind for name, kind in dataclasses_of_the_package().items() if name.endswith("Config")}


def test_there_are_many():
    assert len({kind for _, kind, _, _ in CONSTRAINED}) > 60


@pytest.mark.parametrize(("field", "wrong"), [pytest.param((kind, field), wrong, id=name)
                                              for name, kind, field, wrong in CONSTRAINED])  # fmt: skip
def test_every_range_and_every_list_of_words_holds_where_one_is_made(field, wrong):
    """A dataclass that is added without the check is noticed here."""
    kind, name = field
    shown = wrong[0] if isinstance(wrong, tuple) else wrong
    with pytest.raises(InputError) as caught:
        made(kind, **{name: wrong})
    assert caught.value.column.endswith(name) and str(shown) in caught.value.problem
    assert caught.value.fix.startswith(("use ", "give "))


@dataclass(frozen=True)
@checked
class Kinds:
    word: Literal["implicit", "explicit"] = "implicit"
    share: Annotated[float, within(0, 1)] | None = 0.5
    pair: tuple[str, int] = ("a", 1)
    many: tuple[Annotated[int, within(1, 9)], ...] = (1,)
    switch: bool = True
    name: str = ""
    folder: Path = Path(".")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"word": "Explicit"}, "Kinds.word: 'Explicit' is none of implicit, explicit. Fix: use explicit"),
        ({"word": "implicti"}, "Fix: use implicit"),
        ({"word": "both"}, "'both' is none of implicit, explicit. Fix: use one of implicit, explicit"),
        ({"word": 1}, "1 is none of implicit, explicit"),
        ({"share": "half"}, "Kinds.share: 'half' is not a finite number. Fix: give a finite number"),
        ({"share": True}, "True is not a finite number"),
        ({"share": 10**400}, "the number is too large"),
        ({"share": -0.5}, "-0.5 is out of range. Fix: use a value 0 or more and at most 1"),
        ({"pair": ("a",)}, "('a',) has 1 values. Fix: give 2"),
        ({"pair": ("a", 1.5)}, "1.5 is not a whole number"),
        ({"pair": ["a", 1]}, "['a', 1] is not a tuple"),
        ({"many": (1, 10)}, "Kinds.many: 10 is out of range"),
        ({"many": (1, None)}, "None is not a whole number"),
        ({"switch": "False"}, "'False' is not true or false"),
        ({"switch": 1}, "1 is not true or false"),
        ({"name": 3}, "3 is not a text"),
        ({"folder": 3}, "3 is not a path"),
    ],
)
def test_the_error_names_field_value_and_what_may_stand_there(given, message):
    with pytest.raises(InputError) as caught:
        Kinds(**given)
    assert message in str(caught.value)


def test_what_may_stand_there_is_taken():
    Kinds("explicit", None, ("", 0), (), np.bool_(False), "x", "a/path")
    assert Kinds(share=1).share == 1 and Kinds(share=np.float32(0.5), many=(np.int64(9),))
    with checked_as_a_whole():
        assert Kinds(word="Explicit").word == "Explicit"  # who asked for this checks the whole


def test_numbers_of_a_program_are_not_looked_into():
    """Of a run that is traced or stacked: what they are is not known where they are made."""
    rates = jnp.array([1e-3, -1.0])
    assert ValueHyper(learning_rate=rates).learning_rate is rates
    ValueChoice(hyper=ValueHyper(learning_rate=rates))


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("feedback", 'TabularConfig(feedback="Explicit")', "column TabularConfig.feedback: 'Explicit' is none of"),
        ("simulator", 'SimulatorConfig(repeats="mask")', "Fix: use masked"),
        ("domain", 'Environment("a shop", domain="game")', "Environment.domain: 'game' is none of games, music"),
        ("study", "FitConfig(rank=2.5)", "FitConfig.rank: 2.5 is not a whole number"),
    ],
)  # fmt: skip
def test_a_users_own_file_is_checked_and_named(name, setting, message, tmp_path):
    file = tmp_path / "shop.py"
    file.write_text(
        "from ialp_jax.data.tabular import TabularConfig\n"
        "from ialp_jax.environments import Environment, register\n"
        "from ialp_jax.worlds.fit.config import FitConfig\n"
        "from ialp_jax.worlds.simulator import SimulatorConfig\n\n"
        + (f"{setting}\n" if name == "feedback" else "")  # as README's TABLES
        + f'@register("shop")\ndef shop():\n    {setting}\n    return Environment("a shop")\n'
    )
    with pytest.raises(InputError) as caught:
        environments.get(str(file))
    assert message in str(caught.value) and str(file) in str(caught.value)


def test_a_ratio_above_one_is_refused_where_the_behaviour_is_an_estimate():
    """The value choice estimates the probability it divides by from one rival; the mixture knows it."""
    names = ("a_ialp_ap_value", "a_ialp_ap_mixture")
    config = StudyConfig(methods=names, options=options_of(names))
    assert apply(config, {"methods.a_ialp_ap_mixture.ratio_clip": 2.0})
    assert apply(config, {"methods.a_ialp_ap_value.ratio_clip": 0.5})
    message = r"column methods\.a_ialp_ap_value\.ratio_clip: 2 is out of range.*at most 1"
    with pytest.raises(InputError, match=message):
        apply(config, {"methods.a_ialp_ap_value.ratio_clip": 2.0})


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**400), 10**400), st.floats(), st.text(max_size=8),
    st.sampled_from(["none", "explicit", "Explicit", "cpu", "random"]),
    st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=3)), max_size=3).map(tuple),
)  # fmt: skip
CONFIGURATIONS = sorted(
    (kind for kind in {owner for _, owner, _, _ in CONSTRAINED} | EVERY_CONFIG if not needed_by(kind)),
    key=lambda kind: (kind.__module__, kind.__qualname__),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CONFIGURATIONS), st.data())
def test_whatever_a_dataclass_is_made_with_is_held_or_refused(kind, data):
    name = data.draw(st.sampled_from([field.name for field in fields(kind)]))
    value = data.draw(JUNK)
    try:
        held_now = getattr(made(kind, **{name: value}), name)
    except InputError:
        return
    assert (
        held_now is value or held_now == value or (name, value) in (("rules", ("none",)), ("options", None))
    )


STUDY = StudyConfig()


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([n for n in fields_of(STUDY) if n != "methods"]), JUNK, min_size=1, max_size=2
    )
)
def test_whatever_a_file_sets_is_held_or_refused(changes):
    """Two at once: some fields are only right together."""
    try:
        changed = apply(STUDY, changes, Path("space.toml"))
    except InputError as error:
        assert "space.toml" in str(error)
        return
    assert apply(STUDY, {name: held(changed, name) for name in changes}) == changed
    assert all(held(changed, name) == held(STUDY, name) for name in fields_of(STUDY) if name not in changes)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"word": "Explicit"}, "column Kinds.word: 'Explicit' is none of"),
        ({"words": "explicit"}, "column words: the field is not known"),
        ({"pair": ["a", 2], "many": [1, 2]}, ""),
    ],
)
def test_what_a_file_holds_is_checked_and_named(record, message, tmp_path):
    file = tmp_path / "manifest.json"
    if not message:
        assert made_from(Kinds, record, file) == Kinds(pair=("a", 2), many=(1, 2))
        return
    with pytest.raises(InputError) as caught:
        made_from(Kinds, record, file)
    assert message in str(caught.value) and str(file) in str(caught.value)


def test_a_size_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"preset: 'Quick' is none of quick, full\. Fix: use quick"):
        preset(environments.get("synthetic")[1], "Quick")


def test_a_wrong_word_in_the_readme_s_environment_would_be_refused():
    with pytest.raises(InputError, match="Fix: use explicit"):
        replace(TabularConfig(), feedback="Explicit")
    with pytest.raises(InputError, match=r"FitConfig\.grade_percentiles: 101 is out of range"):
        FitConfig(grade_percentiles=(80.0, 90.0, 95.0, 101.0))
