"""iALP and A-iALP in JAX: policies pre-trained on an LLM's preferences, adapted online.

From Python: `train`, `sweep` and `read` (api.py). They are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ialp_jax.api import read, sweep, train

__version__ = "0.1.0"
__all__ = ["read", "sweep", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ialp_jax import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
