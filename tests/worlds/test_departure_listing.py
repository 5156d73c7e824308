"""A departure rule is one file: saved in the package's folder it works everywhere, and nothing else changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ialp_jax
from ialp_jax.artifacts import InputError
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.departure.base import DepartureRule
from ialp_jax.worlds.departure.reasons import numbered

RULE = '''
from ialp_jax.worlds.departure.base import DepartureRule, register


@register("first_item")
class FirstItem(DepartureRule):
    """Item 0 is recommended."""

    def fires(self, context, world):
        return context.action == 0
'''
USE = """
import jax
from ialp_jax.policies.fixed import departs
from ialp_jax.testing.departures import _world
from ialp_jax.worlds.departure import REASONS
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

simulator, world = Simulator(SimulatorConfig(rules=("first_item",))), _world()
state, _ = simulator.start(0, world)
print([REASONS[int(simulator.step(jax.random.key(0), state, item, world)[1].reason)] for item in (0, 1)])
print(departs(simulator, state, world.ratings.of_all(0), world).nonzero()[0].tolist())
print(REASONS)
"""


def test_a_rule_saved_in_the_folder_serves_the_simulator_the_oracle_and_the_reasons(tmp_path):
    package = Path(ialp_jax.__file__).parent
    shutil.copytree(package, tmp_path / "ialp_jax", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "ialp_jax/worlds/departure/named/first_item.py").write_text(RULE, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["['first_item', 'none']", "[0]", str((*REASONS, "first_item"))]


def test_shipped_reasons_keep_their_numbers():
    assert REASONS == ("none", "distance", "rating", "category", "patience", "turn_cap")


def rule(number=None):
    return type("Rule", (DepartureRule,), {"number": number})


def test_rules_without_a_number_follow_by_name():
    rules = {"b": rule(), "one": rule(1), "two": rule(2), "three": rule(3), "four": rule(4), "a": rule()}
    assert numbered(rules) == ("none", "one", "two", "three", "four", "turn_cap", "a", "b")


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"none": rule()}, "can be called 'none'"),
        ({"late": rule(5)}, "have the number 5"),
        ({"far": rule(9)}, "a gap"),
    ],
)
def test_names_and_numbers_that_collide_are_refused(rules, reason):
    with pytest.raises(InputError, match=reason):
        numbered(rules)
