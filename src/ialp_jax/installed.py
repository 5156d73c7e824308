"""What is installed here and can change a result. Host only."""

import importlib.metadata
import platform
from functools import cache

RECORDED_PACKAGES = (
    "ialp-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "distrax",
    "numpy",
    "polars",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in RECORDED_PACKAGES},
    }


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
