"""Which runs share a program: those that differ in nothing but data of the program, told apart by type."""

from dataclasses import dataclass, replace
from typing import get_args

import pytest
from flax import struct

from ialp_jax import environments
from ialp_jax.study.config import StudyConfig, preset
from ialp_jax.study.fields import apply, decisive_fields, fields_of, held, kind_of
from ialp_jax.sweeps.settings import affects
from ialp_jax.sweeps.units import bucket_of, world_key

STEAM = preset(environments.get("steam")[1], "quick")
METHODS = ("a2c", "ialp", "a_ialp_ft", "a_ialp_ap_mixture", "a_ialp_ap_value")
LEAVES = sorted(set(fields_of(STEAM)) - set(decisive_fields(STEAM)))
TOGETHER = {  # fields that only certain values suit
    "fit.grades": (0.0, 0.1, 0.5, 0.75, 1.0), "fit.grade_percentiles": (70.0, 90.0, 95.0, 98.0),
    "simulator.rules": ("distance", "patience"), "methods": ("a2c", "random"),
}  # fmt: skip


def another_value(name):
    """A value that the field does not hold in `STEAM`."""
    value, kind = held(STEAM, name), kind_of(STEAM, name)
    if name in TOGETHER:
        return TOGETHER[name]
    if isinstance(value, str):
        return next(choice for choice in get_args(kind) if choice != value)
    if value is None:
        return 2 if int in get_args(kind) else 0.5
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value / 2 + 0.1


def buckets(name, method):
    """Of both stages, before and after the field has another value."""
    changed = apply(STEAM, {name: another_value(name)})
    assert held(changed, name) != held(STEAM, name)
    return [
        [bucket_of(stage, method, config) for config in (STEAM, changed)]
        for stage in ("pretraining", "online")
    ]


def foreign(name, stage):
    """Whether only the other stage can use a field: written down here again, so that the two lists are compared."""
    root = name.split(".")[0]
    if stage == "online":
        return root == "pretrain"
    return root in ("online", "evaluation", "mixture_weight", "mixture_start", "value_start")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", decisive_fields(STEAM))
def test_another_value_of_a_static_field_is_another_program(name, method):
    """So that no setting of a sweep is run with another setting's value."""
    pretraining, online = buckets(name, method)
    assert (online[0] != online[1]) == (affects(method, name) and not foreign(name, "online"))
    assert (pretraining[0] != pretraining[1]) == (affects("ialp", name) and not foreign(name, "pretraining"))


@pytest.mark.parametrize("name", fields_of(STEAM))
def test_what_makes_another_world(name):
    changed = apply(STEAM, {name: another_value(name)})
    made_from = (
        name.split(".")[0] in ("data", "simulator", "fit", "preferences") or name == "policy.embedding"
    )
    assert (world_key(STEAM) != world_key(changed)) == made_from


@pytest.mark.parametrize("name", LEAVES)
def test_data_of_the_program_shares_it(name):
    for method in METHODS:
        pretraining, online = buckets(name, method)
        assert online[0] == online[1]
        assert (pretraining[0] != pretraining[1]) == (name == "pretrain_hyper.supervised")  # another learner


def test_the_leaves_are_the_numbers_of_the_three_hypers():
    assert {name.split(".")[0] for name in LEAVES} == {"pretrain_hyper", "scratch_hyper", "adapt_hyper"}
    assert not [name for name in decisive_fields(STEAM) if name.split(".")[0].endswith("_hyper")]


def test_a_field_added_later_is_decisive_and_a_static_one_among_numbers_too():
    @struct.dataclass
    class Numbers:
        rate: float = 0.1
        taught: bool = struct.field(pytree_node=False, default=False)

    @dataclass(frozen=True)
    class Later(StudyConfig):
        warm_up: int = 3
        warm_numbers: Numbers = Numbers()

    later = Later()
    assert set(decisive_fields(later)) - set(decisive_fields(StudyConfig())) == {
        "warm_up",
        "warm_numbers.taught",
    }
    assert world_key(later) != world_key(replace(later, warm_up=4))
    for stage in ("pretraining", "online"):
        one, other, same = (
            bucket_of(stage, "a2c", config)
            for config in (later, replace(later, warm_up=4), replace(later, warm_numbers=Numbers(rate=0.2)))
        )
        assert one != other and one == same
