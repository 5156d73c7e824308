"""Which runs share a program: those that differ in nothing but data of the program, told apart by type."""

from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import get_args

import jax
import pytest
from flax import struct

from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.methods import get, names
from ialp_jax.methods.base import Stage
from ialp_jax.study.config import StudyConfig, preset
from ialp_jax.study.fields import apply, fields_of, held, kind_of, place_of
from ialp_jax.study.stages import stage_key, stages_of
from ialp_jax.sweeps.settings import affects
from ialp_jax.sweeps.units import bucket_of, inputs_key


def decisive_fields(config):
    """Dotted names of the fields that decide a compiled program: all that are not data of it, which JAX takes for leaves."""
    return [name for name in fields_of(config) if not is_leaf(config, place_of(config, name))]


def is_leaf(config, path):
    owner = reduce(getattr, path[:-1], config)
    if jax.tree_util.all_leaves([owner]):  # no pytree: a frozen dataclass, static as a whole
        return False
    marker = object()
    return any(leaf is marker for leaf in jax.tree.leaves(replace(owner, **{path[-1]: marker})))


STEAM = preset(environments.get("steam")[1], "quick")
STUDIES = {name: replace(STEAM, methods=(name,)) for name in names() if fields(get(name).options)}
FIELDS = {name: decisive_fields(study) for name, study in STUDIES.items()}
LEAVES = {
    name: sorted(set(fields_of(study)) - set(decisive_fields(study))) for name, study in STUDIES.items()
}
TOGETHER = {  # fields that only certain values suit
    "fit.grades": (0.0, 0.1, 0.5, 0.75, 1.0), "fit.grade_percentiles": (70.0, 90.0, 95.0, 98.0),
    "simulator.rules": ("distance", "patience"),
}  # fmt: skip


def another_value(config, name):
    """A value that the field does not hold."""
    value, kind = held(config, name), kind_of(config, name)
    if name in TOGETHER:
        return TOGETHER[name]
    if isinstance(value, str):
        return next(choice for choice in get_args(kind) if choice != value)
    if value is None:
        return 2 if int in get_args(kind) else 0.5
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return next(number for number in (2 * value + 1, value - 1) if allowed(config, name, number))
    return next(number for number in (value / 2 + 0.1, 0.8 * value + 0.13) if number != value)


def allowed(config, name, value):
    """Whether the field's range has this value."""
    try:
        return bool(apply(config, {name: value}))
    except InputError:
        return False


def buckets(method, config):
    """Of every stage of a method."""
    *before, last = stages_of(get(method), config)
    return [*(bucket_of(stage, config, False) for stage in before), bucket_of(last, config, True)]


def keys(method, config):
    return [stage_key(stage, config, lambda stage: None) for stage in stages_of(get(method), config)]


def changed(method, name):
    config = STUDIES[method]
    other = apply(config, {name: another_value(config, name)})
    assert held(other, name) != held(config, name)
    return config, other


@pytest.mark.parametrize("method", STUDIES)
def test_another_value_of_a_static_field_is_another_program(method):
    """So that no setting of a sweep is run with another setting's value; of every method every static field."""
    for name in FIELDS[method]:
        if name in ("seeds", "methods"):  # the sweep's own
            continue
        config, other = changed(method, name)
        differs = buckets(method, config) != buckets(method, other)
        # The share is of no effect on a learner, and may cost it a compilation: no sweep may search it.
        assert differs == (affects(method, config, name) or name == "evaluation.fixed_share"), name


@pytest.mark.parametrize("method", STUDIES)
def test_what_trains_a_stage_anew(method):
    """Whatever decides a program decides what comes out of it, but for how precisely that is measured."""
    for name in FIELDS[method]:
        if name in ("seeds", "methods"):
            continue
        config, other = changed(method, name)
        trains = affects(method, config, name) and name != "evaluation.sessions"
        assert (keys(method, config) != keys(method, other)) == trains, name


@pytest.mark.parametrize("method", STUDIES)
def test_data_of_the_program_shares_it_and_is_trained_anew(method):
    for name in LEAVES[method]:
        config, other = changed(method, name)
        teacher = name == "methods.ialp.supervised"  # above 0 there is one: another program
        assert (buckets(method, config) != buckets(method, other)) == teacher, name
        assert keys(method, config)[-1] != keys(method, other)[-1], name


@pytest.mark.parametrize("method", ["a2c", "a_ialp_ft"])
def test_what_makes_other_inputs(method):
    for name in fields_of(STUDIES[method]):
        if name in ("seeds", "methods"):
            continue
        config, other = changed(method, name)
        made_from = ("data", "simulator", "fit", "logged", "factors", "likeness")
        imagined = ("preferences", "logs_world") if method == "a_ialp_ft" else ()
        # A look asks for what is kept apart, another world for itself.
        asks = name == "policy.embedding" or name.endswith((".look", ".world"))
        expected = name.split(".")[0] in made_from + imagined or asks
        made = [inputs_key(stages_of(get(method), one), one) for one in (config, other)]
        assert (made[0] != made[1]) == expected, name


def test_the_leaves_are_the_numbers_of_the_methods():
    for method in STUDIES:
        assert {name.split(".")[0] for name in LEAVES[method]} == (
            {"methods"} if has_numbers(method) else set()
        )
    assert LEAVES["a2c"] and not LEAVES["mf"]


def has_numbers(method):
    """Whether any of its own stages reads numbers that may differ between runs of a program."""
    return any(jax.tree.leaves(stage.hyper) for stage in stages_of(get(method), STUDIES[method]))


def test_a_field_added_later_is_decisive_and_a_static_one_among_numbers_too():
    @struct.dataclass
    class Numbers:
        rate: float = 0.1
        taught: bool = struct.field(pytree_node=False, default=False)

    @dataclass(frozen=True)
    class Later(StudyConfig):
        warm_up: int = 3
        warm_numbers: Numbers = field(default_factory=Numbers)

    later = Later(methods=("a2c",))
    assert set(decisive_fields(later)) - set(decisive_fields(STUDIES["a2c"])) == {
        "warm_up",
        "warm_numbers.taught",
    }
    assert keys("a2c", later) != keys("a2c", replace(later, warm_up=4))
    assert buckets("a2c", later) != buckets("a2c", replace(later, warm_up=4))


def test_a_static_field_among_a_methods_numbers_makes_another_program():
    @struct.dataclass
    class Numbers:
        rate: float = 0.1
        taught: bool = struct.field(pytree_node=False, default=False)

    learner = stages_of(get("a2c"), STUDIES["a2c"])[0].learner
    stages = [
        Stage("online", learner, (), Numbers(rate, taught))
        for rate, taught in ((0.1, False), (0.2, False), (0.1, True))
    ]
    first, other_rate, other_program = (bucket_of(stage, STUDIES["a2c"], True) for stage in stages)
    assert first == other_rate != other_program
    assert len(jax.tree.leaves(stages[0].hyper)) == 1
