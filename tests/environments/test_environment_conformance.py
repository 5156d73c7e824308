"""Every environment of the registry keeps to the kit that users test their own with; broken ones are named."""

import pytest

from ialp_jax import environments
from ialp_jax.testing import EnvironmentTests

for name in environments.names():
    title = f"Test_{name}"
    globals()[title] = type(title, (EnvironmentTests,), {"environment": name, "__module__": __name__})

OWN = """
import secrets
from dataclasses import replace
from ialp_jax.data.synthetic import SyntheticConfig, generate
from ialp_jax.environments import Environment, register
from ialp_jax.worlds.simulator import SimulatorConfig

class Restless(Environment):
    def dataset(self, directory, config, name):
        return generate(replace(self.synthetic, seed=secrets.randbelow(10**9)), config, self.domain)

@register("own")
def own():
    return {made}
"""


def kit_of(folder, made):
    path = folder / "own.py"
    path.write_text(OWN.format(made=made), encoding="utf-8")
    return type("TestOwn", (EnvironmentTests,), {"environment": str(path), "users": 60, "items": 40})()


def test_a_file_is_checked_like_a_name(tmp_path):
    kit = kit_of(tmp_path, 'Environment("sound", simulator=SimulatorConfig(turn_cap=5))')
    kit.test_its_world_can_be_trained_on()
    kit.test_equal_settings_give_equal_logs()
    kit.test_presets_fit_it()


def test_a_cap_that_the_catalogue_cannot_fill_is_named(tmp_path):
    kit = kit_of(tmp_path, 'Environment("long", simulator=SimulatorConfig(turn_cap=60))')
    with pytest.raises(AssertionError, match=r"enough items: .*turn cap is 60"):
        kit.test_its_world_can_be_trained_on()


def test_logs_that_change_by_themselves_are_named(tmp_path):
    with pytest.raises(AssertionError, match="read twice, the logs are"):
        kit_of(tmp_path, 'Restless("restless")').test_equal_settings_give_equal_logs()
