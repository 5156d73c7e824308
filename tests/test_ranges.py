"""Ranges stand on the fields, and one check holds for the command line, TOML and Python."""

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Annotated, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ialp_jax import cli
from ialp_jax.artifacts import InputError
from ialp_jax.methods.learners.teaching import TaughtHyper
from ialp_jax.methods.named.ialp import IALP
from ialp_jax.methods.options import options_of
from ialp_jax.preferences.quality.gate import GateConfig
from ialp_jax.ranges import Range, above, at_least, between, within
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.fields import apply, fields_of, kind_of, place_of
from ialp_jax.values import check_values

ENDS = {"at_least": at_least(1), "above": above(1), "within": within(1, 3), "between": between(1, 3)}


@pytest.mark.parametrize(
    ("name", "inside", "outside", "words"),
    [
        ("at_least", [1, 1e9], [0.999], "1 or more"),
        ("above", [1.001], [1, 0], "above 1"),
        ("within", [1, 3], [0.99, 3.01], "1 or more and at most 3"),
        ("between", [2], [1, 3], "above 1 and below 3"),
    ],
)
def test_which_numbers_a_range_holds(name, inside, outside, words):
    assert all(number in ENDS[name] for number in inside)
    assert not any(number in ENDS[name] for number in [*outside, math.nan])
    assert str(ENDS[name]) == words


@given(
    st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False)
)
def test_a_range_holds_what_lies_between_its_ends(least, most, number):
    assert (number in Range(least, most)) == (least <= number <= most)
    assert (number in Range(least, most, True, True)) == (least < number < most)


@dataclass(frozen=True)
class Inner:
    share: Annotated[float, within(0, 1)] | None = None
    shares: tuple[Annotated[float, within(0, 1)], ...] = (0.5,)
    switch: bool = True


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    free: float = -7.0


@pytest.mark.parametrize(
    ("config", "name", "words"),
    [
        (Outer(Inner(share=1.5)), "inner.share", "1.5 is out of range. Fix: use a value 0 or more and at most 1"),
        (Outer(Inner(shares=(0.5, -0.1))), "inner.shares", "-0.1 is out of range"),
        (Outer(Inner(share=math.nan)), "inner.share", "nan is not a finite number"),
        (Outer(free=math.inf), "free", "inf is not a finite number"),
    ],
)  # fmt: skip
def test_the_error_names_field_value_and_range(config, name, words):
    with pytest.raises(InputError) as caught:
        check_values(config)
    assert f"column {name}: {words}" in str(caught.value)
    check_values(Outer())


def test_infinity_is_in_a_range_that_says_so():
    """Imitating throughout is a supervised term whose share of the run is infinite."""
    options = replace(options_of(["ialp"]), ialp=IALP(TaughtHyper(supervised_share=math.inf)))
    throughout = StudyConfig(methods=("ialp",), options=options)
    assert throughout.method("ialp").hyper.supervised_share == math.inf
    for number in (-math.inf, math.nan, -0.5):
        with pytest.raises(InputError, match=r"IALP\.supervised_share"):
            StudyConfig(
                methods=("ialp",), options=replace(options, ialp=IALP(TaughtHyper(supervised_share=number)))
            )


def test_numbers_of_numpy_and_gates_by_themselves_are_checked():
    with pytest.raises(InputError, match="column seeds: 0 is out of range"):
        StudyConfig(seeds=np.int64(0))
    with pytest.raises(InputError, match=r"column GateConfig\.auc: 55 is out of range"):
        GateConfig(auc=55)


WRONG = {
    "methods.a_ialp_ap_mixture.weight": 1.5, "methods.a2c.learning_rate": 0.0, "methods.a2c.discount": -0.1,
    "online.users": 0, "policy.hidden": 0, "loop.chunk": 0, "seeds": 0, "fit.rank": 0, "data.k_core": 0,
    "simulator.turn_cap": 0, "preferences.fraction": 0.0, "preferences.threshold": 2.0, "fit.rating_noise": -1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_toml_and_python_refuse_alike(name, tmp_path):
    path, value = place_of(StudyConfig(), name), WRONG[name]

    def put(owner, path):
        return replace(
            owner, **{path[0]: value if len(path) == 1 else put(getattr(owner, path[0]), path[1:])}
        )

    with pytest.raises(
        InputError, match=rf"column \w+\.{path[-1]}: {value:g} is out of range|column {name}: "
    ):
        put(StudyConfig(), path)  # where the innermost one is made
    with pytest.raises(InputError, match=rf"column {name}: {value:g} is out of range") as caught:
        apply(StudyConfig(), {name: value}, tmp_path / "space.toml")
    assert "space.toml" in str(caught.value)


@pytest.mark.parametrize("name", ["methods.a_ialp_ap_mixture.weight", "online.users", "seeds"])
def test_the_command_line_refuses_before_any_work(name, tmp_path, capsys, monkeypatch):
    flag = f"--{name.replace('_', '-')}"
    words = ["ialp", "train", "synthetic", "--out", str(tmp_path / "out"), flag, str(WRONG[name])]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = " ".join("".join(capsys.readouterr()).split())
    assert stopped.value.code == cli.BAD_INPUT
    assert f"column {name}: {WRONG[name]:g} is out of range. Fix: use a value" in said
    assert not (tmp_path / "out").exists()


def test_every_number_of_a_study_has_a_range_or_may_be_any():
    """A field that is added without one is noticed here."""
    free = {"fit.distance_threshold", "fit.rating_floor", "fit.patience_start", "fit.patience_cost",
            "fit.patience_gain"}  # fmt: skip
    unchecked = set()
    for name in fields_of(StudyConfig()):
        *path, last = place_of(StudyConfig(), name)
        owner = type(reduce(getattr, path, StudyConfig()))
        if {int, float} & numbers_in(kind_of(StudyConfig(), name)) and not ranges_in(
            get_type_hints(owner, include_extras=True)[last]
        ):
            unchecked.add(name)
    assert unchecked == free


def ranges_in(hint):
    """The ranges in a type."""
    own = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Range)]
    return own + [found for inner in get_args(hint) for found in ranges_in(inner)]


def numbers_in(kind):
    """The number types that a field may hold, in tuples too."""
    return (
        {kind}
        if isinstance(kind, type) and not get_args(kind)
        else set().union(*map(numbers_in, get_args(kind)))
    )
