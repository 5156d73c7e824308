"""Environments by name: which logs, which rules. One file each; a file registers itself when it is imported."""

from ialp_jax.environments.registry import Environment, get, names, register

__all__ = ["Environment", "get", "names", "register"]
