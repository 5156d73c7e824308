"""Methods: what a study compares. `base.py` says what one is made of, `named/` holds one file each."""

from ialp_jax.methods.registry import describe, get, names, register

__all__ = ["describe", "get", "names", "register"]
