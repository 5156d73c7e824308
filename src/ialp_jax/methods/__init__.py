"""Methods: what a study compares. `base.py` says what one is made of, `named/` holds one file each."""

from ialp_jax.methods.registry import get, names, register

__all__ = ["get", "names", "register"]
