"""Conformance kits for pytest: subclass one of them in a test file, name yours, and run pytest.

from ialp_jax.testing import MethodTests

class TestMine(MethodTests):
    method = "mine.py"
"""

from ialp_jax.testing.departures import DepartureTests
from ialp_jax.testing.encoders import EncoderTests
from ialp_jax.testing.environments import EnvironmentTests
from ialp_jax.testing.judges import JudgeTests
from ialp_jax.testing.methods import MethodTests

__all__ = ["DepartureTests", "EncoderTests", "EnvironmentTests", "JudgeTests", "MethodTests"]
