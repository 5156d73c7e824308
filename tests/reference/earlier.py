"""The settings that were the defaults when the runs in tests/golden were made: their numbers must not move."""

from ialp_jax.study.config import recipe_changes


def earlier(methods):
    """Fields of a study of these methods, by dotted name, that have another default now."""
    network = {"policy.encoder": "gru", "policy.item_start": "text"}
    return network | recipe_changes("policy gradient", tuple(methods))


def flags(changes):
    """The same for a command line."""
    words = []
    for name, value in changes.items():
        group, _, field = name.replace("_", "-").rpartition(".")
        words += [f"--{group}.no-{field}"] if value is False else [f"--{group}.{field}", str(value)]
    return words
