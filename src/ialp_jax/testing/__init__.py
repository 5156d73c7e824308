"""Conformance kits for pytest: subclass one of them in a test file, name yours, and run pytest.

    from ialp_jax.testing import MethodTests

    class TestMine(MethodTests):
        method = "mine.py"

Each is imported when it is first used: the kit of judges runs where JAX is not installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ialp_jax.testing.departures import DepartureTests
    from ialp_jax.testing.encoders import EncoderTests
    from ialp_jax.testing.environments import EnvironmentTests
    from ialp_jax.testing.judges import JudgeTests
    from ialp_jax.testing.methods import MethodTests

__all__ = ["DepartureTests", "EncoderTests", "EnvironmentTests", "JudgeTests", "MethodTests"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{name.removesuffix('Tests').lower()}s"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
