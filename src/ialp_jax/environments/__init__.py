"""Environments by name: which logs, which rules (one file each in `named/`), and the check of what they make."""

from ialp_jax.environments.registry import Environment, get, names, register

__all__ = ["Environment", "get", "names", "register"]
